import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { lockByCommand, lockFile } from "./lock.ts";

const directory = mkdtempSync(join(tmpdir(), "btrkit-lock-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test.runIf(process.platform === "linux")(
  "a lock excludes others until its file is closed, whichever way it was taken",
  () => {
    const path = join(directory, "image");
    const ways = [lockFile, lockByCommand];
    for (const first of ways) {
      const holder = openSync(path, "w+");
      // Where neither koffi nor flock(1) is there, nothing can be said.
      if (first(holder) === undefined) continue;
      for (const second of ways) {
        const other = openSync(path, "r+");
        expect(second(other)).not.toBe(true);
        closeSync(other);
      }
      closeSync(holder);
      const later = openSync(path, "r+");
      expect(first(later)).toBe(true);
      closeSync(later);
    }
  },
);
