import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { parseBytes, parseWhole } from "./numbers.ts";
import { imagePlace, parsePlace } from "./places.ts";

const folder = mkdtempSync(join(tmpdir(), "btrkit-places-"));
const before = process.cwd();
process.chdir(folder);
afterAll(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true });
});
for (const name of ["disk.img", "a:b.img", "a"]) writeFileSync(name, "");
mkdirSync("dir");

test.for([
  ["disk.img", "disk.img", "/"],
  ["disk.img:", "disk.img", "/"],
  ["disk.img:/home/@snap/etc", "disk.img", "/home/@snap/etc"],
  ["disk.img:/a:b", "disk.img", "/a:b"],
  [`${folder}/disk.img:/x`, `${folder}/disk.img`, "/x"],
  // The first `:` whose left side is there.
  ["a:b.img:/x", "a", "b.img:/x"],
  ["./a:b.img", "./a:b.img", "/"],
])("%s is in the image %s, at %s", ([word, image, path]) => {
  expect(parsePlace(word!)).toEqual({ kind: "image", image, path: new TextEncoder().encode(path) });
});

test.for(["dir", "dir:/x", "nothing:/x", "./disk.img:/x", "/proc/self/environ.nothing"])("%s is a path", (word) => {
  expect(parsePlace(word)).toEqual({ kind: "path", path: word });
});

test("what is no image is named", () => {
  expect(() => imagePlace("dir")).toThrow("it is a directory, expected an image or a block device");
  expect(() => imagePlace("nothing")).toThrow("there is no such file");
});

test("numbers of options are whole, and bytes have units", () => {
  expect(["0", "4096", "1M", "2g", "3KiB"].map((text) => parseBytes("--offset", text))).toEqual([
    0,
    4096,
    2 ** 20,
    2 ** 31,
    3072,
  ]);
  for (const wrong of ["", "-1", "1.5", "M", "1X", "9999999T"]) {
    expect(() => parseBytes("--offset", wrong)).toThrow("'--offset' can't be");
  }
  expect(parseWhole("--partition", "3")).toBe(3);
  expect(() => parseWhole("--partition", "0x3")).toThrow("expected a whole number");
});
