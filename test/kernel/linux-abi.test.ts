import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";

const { readAbi } = (await import("../../scripts/linux-abi.mjs" as string)) as { readAbi(): unknown };
const golden = JSON.parse(readFileSync(resolve(import.meta.dirname, "../golden/linux-abi.json"), "utf8"));

const ready = existsSync("/usr/include/linux/btrfs.h") && ["/usr/bin/cc", "/usr/local/bin/cc"].some(existsSync);

test.skipIf(!ready || process.arch !== "x64")(
  "this machine's headers and compiler give the committed numbers (skipped without them, or off x86-64)",
  () => {
    expect(readAbi()).toEqual(golden);
  },
);
