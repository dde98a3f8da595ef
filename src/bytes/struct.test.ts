import { expect, test } from "vitest";
import { CorruptError } from "../errors.ts";
import { asStruct, bytes, nested, newStruct, struct, u8, u16, u32, u64 } from "./struct.ts";

const Inner = struct("inner", 3, { kind: u8, count: u16 });
const Outer = struct("outer", 21, { size: u64, inner: nested(Inner), word: u32, tag: bytes(6) });

test("a struct reads and writes in place, little endian and packed", () => {
  const data = new Uint8Array(25);
  const outer = new Outer(new DataView(data.buffer), 4);
  outer.size = 0xffff_ffff_ffff_fffen;
  outer.inner.count = 0x1234;
  outer.word = 0xdead_beef;
  outer.tag = Uint8Array.of(1, 2, 3);
  expect([...data]).toEqual([
    0, 0, 0, 0, 0xfe, 255, 255, 255, 255, 255, 255, 255, 0, 0x34, 0x12, 0xef, 0xbe, 0xad, 0xde, 1, 2, 3, 0, 0, 0,
  ]);
  expect(outer.size).toBe(0xffff_ffff_ffff_fffen);
  expect(Outer.offsets.tag).toBe(15);
});

test("a declaration whose fields do not add up is refused on load", () => {
  expect(() => struct("wrong", 4, { a: u8, b: u16 })).toThrow("fields add up to 3 bytes, the format says 4");
});

test("foreign bytes that are too short are corrupt, with both numbers", () => {
  expect(() => asStruct(Outer, new Uint8Array(20), { logical: 4096 })).toThrow(CorruptError);
  expect(() => asStruct(Outer, new Uint8Array(20), { logical: 4096 })).toThrow(
    "Cannot read outer: 20 bytes, the format says 21 (logical 4096)",
  );
  expect(newStruct(Outer).word).toBe(0);
});
