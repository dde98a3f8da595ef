import { expect, test } from "vitest";
import { toBytes } from "./bytes.ts";
import { displayName, textOf } from "./display.ts";

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
