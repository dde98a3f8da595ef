// Sizes and field offsets of the structs in <linux/btrfs_tree.h>, as this machine's C compiler lays them out.
//   node scripts/uapi-layout.mjs > test/golden/uapi-layout.json
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { argv, stdout } from "node:process";
import { pathToFileURL } from "node:url";

export const HEADER = "/usr/include/linux/btrfs_tree.h";

/** `{ "struct name": { size, fields: { name: offset } } }`, from the compiler. */
export function uapiLayout() {
  const text = readFileSync(HEADER, "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
  const structs = [...text.matchAll(/^struct (\w+) \{\n([\s\S]*?)^\} __attribute__/gm)].map(([, name, body]) => ({
    name,
    fields: [...body.matchAll(/^\s+(?:__\w+|struct \w+)\s+(\w+)(?:\[\w*\])?;/gm)].map((match) => match[1]),
  }));
  const lines = structs.flatMap(({ name, fields }) => [
    `printf("%s {\\"size\\": %zu, \\"fields\\": {", sep("\\"${name}\\":"), sizeof(struct ${name}));`,
    ...fields.map(
      (field, index) => `printf("${index > 0 ? ", " : ""}\\"${field}\\": %zu", offsetof(struct ${name}, ${field}));`,
    ),
    `printf("}}");`,
  ]);
  const program = `#include <stdio.h>
#include <stddef.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
static int count;
static const char *sep(const char *name) { if (count++) printf(",\\n"); return name; }
int main(void) { printf("{\\n"); ${lines.join("\n")} printf("\\n}\\n"); return 0; }
`;
  const folder = mkdtempSync(join(tmpdir(), "uapi-layout-"));
  try {
    writeFileSync(join(folder, "layout.c"), program);
    execFileSync("gcc", ["-o", join(folder, "layout"), join(folder, "layout.c")]);
    return JSON.parse(execFileSync(join(folder, "layout"), { encoding: "utf8" }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (import.meta.url === pathToFileURL(argv[1]).href) {
  const lines = Object.entries(uapiLayout()).map(
    ([name, layout]) => `  ${JSON.stringify(name)}: ${JSON.stringify(layout)}`,
  );
  stdout.write(`{\n${lines.join(",\n")}\n}\n`);
}
