import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { bashCompletion } from "../../src/cli/completion.ts";

const hasBash = spawnSync("bash", ["--version"]).status === 0;
const directory = mkdtempSync(join(tmpdir(), "btrkit-completion-"));
writeFileSync(join(directory, "a stream.btrfs"), "");
afterAll(() => rmSync(directory, { recursive: true }));

/** What bash offers after these words, the last of which is being typed. */
async function offers(...words: string[]): Promise<string[]> {
  const script = `${await bashCompletion()}
COMP_WORDS=(btrkit ${words.map((word) => `'${word}'`).join(" ")})
COMP_CWORD=${words.length}
_btrkit
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync("bash", ["-c", script], { cwd: directory, encoding: "utf8" });
  expect(stderr).toBe("");
  return stdout.trimEnd().split("\n");
}

test.skipIf(!hasBash)("bash completes commands, their options, choices and files", async () => {
  expect(await offers("")).toEqual(expect.arrayContaining(["completion", "--help", "--version"]));
  expect(await offers("comp")).toEqual(["completion"]);
  expect(await offers("completion", "--h")).toEqual(["--help"]);
  expect(await offers("completion", "a")).toEqual(["a stream.btrfs"]);
});
