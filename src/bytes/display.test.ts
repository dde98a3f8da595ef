import fc from "fast-check";
import { expect, test } from "vitest";
import { toBytes } from "./bytes.ts";
import { displayLines, displayName, textOf } from "./display.ts";

test("a name is shown as text, and what a terminal would obey is escaped", () => {
  expect(displayName(toBytes("grün/naïve"))).toBe("grün/naïve");
  expect(displayName(toBytes("a\nb\x1b[2J\\"))).toBe("a\\x0ab\\x1b[2J\\\\");
  expect(displayName(toBytes("a\u202eb"))).toBe("a\\u202eb");
  expect(displayName(Uint8Array.of(0x61, 0xff, 0x0a))).toBe("a\\xff\\x0a");
});

test("only UTF-8 has a text that stands for the same bytes", () => {
  expect(textOf(toBytes("\ufeffx"))).toBe("\ufeffx");
  expect(textOf(Uint8Array.of(0xff))).toBeUndefined();
});

test("many names are shown as each of them is", () => {
  const name = fc.oneof(
    fc.string({ maxLength: 20 }).map((text) => new TextEncoder().encode(text)),
    fc.uint8Array({ maxLength: 12 }),
  );
  fc.assert(
    fc.property(fc.array(name), fc.nat(3), (names, long) => {
      for (let count = 0; count < long; count++) names.push(new Uint8Array(40_000).fill(0x61 + count));
      const lines = names.map((bytes) => `${displayName(bytes)}\n`);
      expect(displayLines(names.map((bytes) => ({ name: bytes })))).toBe(lines.join(""));
    }),
  );
});
