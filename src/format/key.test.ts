import fc from "fast-check";
import { expect, test } from "vitest";
import {
  ALL_KEYS,
  compareKeys,
  comparePackedKeys,
  decodeKey,
  formatKey,
  itemsOf,
  type Key,
  keyAfter,
  keyOf,
  keysThrough,
  MAX_U64,
  packKey,
} from "./key.ts";
import { EXTENT_DATA, INODE_ITEM, ORPHAN_ITEM } from "./key-type.ts";
import { ORPHAN_OBJECTID } from "./objectid.ts";

// Words that are close together, so that every part of a key gets to decide.
const word = fc.oneof(
  fc.bigInt({ min: 0n, max: MAX_U64 }),
  fc.constantFrom(0n, 1n, 255n, 256n, 0xffff_ffffn, 0x1_0000_0000n, 1n << 63n, MAX_U64 - 1n, MAX_U64),
);
const key: fc.Arbitrary<Key> = fc
  .tuple(word, fc.integer({ min: 0, max: 255 }), word)
  .map(([objectid, type, offset]) => keyOf(objectid, type, offset));

test("packed keys order as keys do, and unpack to what was packed", () => {
  fc.assert(
    fc.property(key, key, (a, b) => {
      expect(Math.sign(comparePackedKeys(packKey(a), 0, packKey(b), 0))).toBe(Math.sign(compareKeys(a, b)));
      expect(decodeKey(packKey(a), 0)).toEqual(a);
    }),
  );
});

test("no key lies between a key and the one after it", () => {
  fc.assert(
    fc.property(key, key, (a, b) => {
      const next = keyAfter(a);
      expect(next === undefined ? compareKeys(b, a) <= 0 : compareKeys(b, a) <= 0 === compareKeys(b, next) < 0).toBe(
        true,
      );
      if (next !== undefined) expect(compareKeys(a, next)).toBeLessThan(0);
    }),
  );
  expect(keyAfter(keyOf(MAX_U64, 255, MAX_U64))).toBeUndefined();
});

test("a range of one type ends before the next type, a range to the last key has no end", () => {
  expect(itemsOf(257n, EXTENT_DATA)).toEqual({ first: keyOf(257n, 108, 0n), last: keyOf(257n, 109, 0n) });
  expect(itemsOf(257n, EXTENT_DATA, 4096n).first.offset).toBe(4096n);
  expect(itemsOf(257n)).toEqual({ first: keyOf(257n, 0, 0n), last: keyOf(258n, 0, 0n) });
  expect(keysThrough(ALL_KEYS.first, keyOf(MAX_U64, 255, MAX_U64))).toEqual(ALL_KEYS);
});

test("a key reads as the field writes it", () => {
  expect(formatKey(keyOf(256n, INODE_ITEM, 0n))).toBe("(256 INODE_ITEM 0)");
  expect(formatKey(keyOf(ORPHAN_OBJECTID, ORPHAN_ITEM, 258n))).toBe("(ORPHAN ORPHAN_ITEM 258)");
  expect(formatKey(keyOf(1n, 77, MAX_U64))).toBe("(1 UNKNOWN.77 18446744073709551615)");
});
