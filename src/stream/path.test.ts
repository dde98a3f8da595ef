import fc from "fast-check";
import { expect, test } from "vitest";
import { toBytes } from "../bytes/bytes.ts";
import { checkName, checkPath, pathFault } from "./path.ts";

const CASES = [
  ["", undefined],
  ["a", undefined],
  ["a/b.c/...", undefined],
  [".hidden/..x/x..", undefined],
  ["ä".repeat(127), undefined],
  ["/a", "it begins with a slash"],
  ["/", "it begins with a slash"],
  ["a/", "a name in it is empty"],
  ["a//b", "a name in it is empty"],
  [".", "a name in it is ."],
  ["a/./b", "a name in it is ."],
  ["..", "a name in it is .."],
  ["../evil", "a name in it is .."],
  ["a/..", "a name in it is .."],
  ["a\0b", "byte 1 is NUL"],
  ["x".repeat(255), undefined],
  ["x".repeat(256), "a name in it has 256 bytes, at most 255 are allowed"],
  [`${"d/".repeat(2047)}f`, undefined],
  [`${"d/".repeat(2047)}f`, undefined],
  [`${"d/".repeat(2046)}four`, "it has 4096 bytes, at most 4095 are allowed"],
  [`${"d/".repeat(2048)}f`, "it has 4097 bytes, at most 4095 are allowed"],
] as const;

test("a path is judged by its names and its length", () => {
  for (const [path, fault] of CASES) expect(pathFault(toBytes(path)), path.slice(0, 20)).toBe(fault);
});

test("a range of a buffer is judged alone", () => {
  expect(pathFault(toBytes("../a/b/.."), 3, 6)).toBeUndefined();
  expect(pathFault(toBytes("../a/b/.."), 0, 4)).toBe("a name in it is ..");
});

test("a name is a path of one step", () => {
  expect(() => checkName(toBytes("snap"))).not.toThrow();
  expect(() => checkName(toBytes(""))).toThrow("it is empty");
  expect(() => checkName(toBytes("a/b"))).toThrow("it has a slash");
  expect(() => checkName(toBytes(".."))).toThrow("a name in it is ..");
});

test("the error is of code path, on one line, and short", () => {
  const where = { streamOffset: 17, command: "MKFILE" };
  expect(() => checkPath(toBytes("a\n/../b"), where)).toThrow(
    "Cannot use path: a name in it is .. (path a\\n/../b, stream offset 17, MKFILE)",
  );
  expect(() => checkPath(new Uint8Array(100_000))).toThrow(/^.{0,800}$/);
  expect(() => checkPath(toBytes("/"))).toThrow(expect.objectContaining({ code: "path" }));
});

// The slow way to say the same: split, and look at each name.
test("it agrees with the definition on any bytes", () => {
  const byte = fc.constantFrom(0, 0x2e, 0x2f, 0x61, 0xff);
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 12 }), (bytes) => {
      const names = String.fromCharCode(...bytes).split("/");
      const safe = bytes.length === 0 || names.every((name) => !["", ".", ".."].includes(name) && !name.includes("\0"));
      expect(pathFault(Uint8Array.from(bytes)) === undefined).toBe(safe);
    }),
  );
});
