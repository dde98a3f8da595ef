import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { declaredStructs, differences, type Layout } from "./support/layout.ts";

// The golden file is what a C compiler makes of <linux/btrfs_tree.h>: scripts/uapi-layout.mjs writes it.
const golden: Record<string, Layout> = JSON.parse(
  readFileSync(resolve(import.meta.dirname, "golden/uapi-layout.json"), "utf8"),
);

test("declared structs lie in memory as the kernel's header says", async () => {
  const declared = await declaredStructs();
  expect(declared.flatMap((struct) => differences(struct, golden))).toEqual([]);
  expect(declared.filter(({ structName }) => structName in golden).length).toBeGreaterThan(25);
});

test("a field at the wrong place would be noticed", () => {
  const wrong = { structName: "btrfs_disk_key", byteLength: 17, offsets: { objectid: 0, type: 9, offset: 9 } };
  expect(differences(wrong, golden)).toEqual(["btrfs_disk_key: type at 9, header 8"]);
});
