import { closeSync, mkdtempSync, openSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { lockFile } from "../../src/linux/lock.ts";
import { btrkit } from "./support.ts";

const directory = mkdtempSync(join(tmpdir(), "btrkit-writable-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function newImage(name: string): string {
  const path = join(directory, name);
  closeSync(openSync(path, "w"));
  truncateSync(path, 128 << 20);
  return path;
}

test("what another btrkit has open for writing is refused by name, and can be read", () => {
  const image = newImage("locked");
  expect(btrkit(["mkfs", image]).status).toBe(0);
  const fd = openSync(image, "r+");
  try {
    if (lockFile(fd) === undefined) return;
    for (const args of [
      ["mkfs", "--force", image],
      ["scrub", "--repair", image],
    ]) {
      const refused = btrkit(args);
      expect([refused.status, refused.stderr]).toEqual([
        1,
        `btrkit: cannot open for writing: another btrkit has it open for writing (${image})\n`,
      ]);
    }
    expect(btrkit(["ls", `${image}:/`]).status).toBe(0);
  } finally {
    closeSync(fd);
  }
  expect(btrkit(["scrub", "--repair", image]).status).toBe(0);
});
