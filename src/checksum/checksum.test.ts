import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, expectTypeOf, test } from "vitest";
import { hex } from "../bytes/bytes.ts";
import { UnsupportedError } from "../errors.ts";
import * as browser from "./browser.ts";
import type { ChecksumSide } from "./interface.ts";
import * as node from "./node.ts";

const ascii = (text: string) => new TextEncoder().encode(text);

/** Published vectors, as stored: xxhash64 is little endian here. BLAKE2b-256 from RFC 7693's reference program. */
const KNOWN: readonly (readonly [type: number, data: string, stored: string])[] = [
  [0, "123456789", "839206e3"],
  [1, "", "99e9d85137db46ef"],
  [1, "abc", "990977adf52cbc44"],
  [2, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
  [3, "", "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"],
  [3, "abc", "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"],
];

test("both sides of #checksum are the one interface", () => {
  expectTypeOf<typeof node>().toExtend<ChecksumSide>();
  expectTypeOf<typeof browser>().toExtend<ChecksumSide>();
  expectTypeOf<keyof typeof browser>().toEqualTypeOf<keyof typeof node>();
  expect(Object.keys(browser).sort()).toEqual(Object.keys(node).sort());
});

test("both sides give the same checksums for any data", async () => {
  for (const type of node.CHECKSUM_TYPES.keys()) {
    const [a, b] = [await node.loadChecksum(type), await browser.loadChecksum(type)];
    fc.assert(
      fc.property(fc.nat(140_000), fc.integer(), (length, salt) => {
        const data = Uint8Array.from({ length }, (_, index) => Math.imul(index ^ salt, 2654435761) >>> 21);
        const [left, right] = [new Uint8Array(a.byteLength), new Uint8Array(b.byteLength)];
        a.compute(data, left);
        b.compute(data, right);
        expect(left).toEqual(right);
      }),
      { numRuns: 12 },
    );
  }
});

// CRC-32C takes many sectors together: each one that is wrong, and several at once, must be found as one by one.
test("the first bad sector is found wherever it is", async () => {
  const noise = Uint8Array.from({ length: 400_000 }, (_, at) => Math.imul(at, 2654435761) >>> 23);
  for (const loadChecksum of [node.loadChecksum, browser.loadChecksum]) {
    const checksum = await loadChecksum(0);
    const sizes = fc.constantFrom(512, 4096, 16_384, 65_536);
    fc.assert(
      fc.property(
        sizes,
        fc.integer({ min: 1, max: 90 }),
        fc.uniqueArray(fc.nat(), { maxLength: 4 }),
        (size, n, bad) => {
          const count = Math.min(n, Math.floor(noise.byteLength / size));
          const data = noise.slice(0, count * size);
          const sums = new Uint8Array(3 + count * 4);
          checksum.computeSectors(data, size, sums, 3);
          for (const at of bad) data[at % data.byteLength] = 255 - noise[at % data.byteLength]!;
          const wrong = bad.map((at) => Math.floor((at % data.byteLength) / size)).sort((a, b) => a - b);
          expect(checksum.findBadSector(data, size, sums, 3)).toBe(wrong[0] ?? -1);
          const from = Math.min((wrong[0] ?? 0) + 1, count);
          expect(checksum.findBadSector(data, size, sums, 3, from)).toBe(wrong.find((at) => at >= from) ?? -1);
        },
      ),
      { numRuns: 25 },
    );
  }
});

for (const [side, { CHECKSUM_TYPES, crc32cRaw, loadChecksum }] of Object.entries({ browser, node })) {
  describe(side, () => {
    test("known values, in the stored form", async () => {
      for (const [type, data, stored] of KNOWN) {
        const checksum = await loadChecksum(type);
        const target = new Uint8Array(40).fill(0xee);
        checksum.compute(ascii(data), target, 3);
        expect(hex(target.subarray(3, 3 + checksum.byteLength))).toBe(stored);
        expect(target[2]).toBe(0xee);
        expect(target[3 + checksum.byteLength]).toBe(0xee);
        expect([checksum.type, checksum.name]).toEqual([type, CHECKSUM_TYPES[type]!.name]);
        expect(checksum.verify(ascii(data), target, 3)).toBe(true);
        for (let at = 3; at < 3 + checksum.byteLength; at++) {
          target[at]! ^= 1;
          expect(checksum.verify(ascii(data), target, 3)).toBe(false);
          target[at]! ^= 1;
        }
      }
    });

    test("the checksums of sectors are those of each sector alone, and a bad one is found", async () => {
      const data = Uint8Array.from({ length: 8 * 512 }, (_, index) => Math.imul(index, 2654435761) >>> 20);
      for (const type of CHECKSUM_TYPES.keys()) {
        const checksum = await loadChecksum(type);
        const size = checksum.byteLength;
        const sums = new Uint8Array(2 + 8 * size);
        checksum.computeSectors(data, 512, sums, 2);
        for (let sector = 0; sector < 8; sector++) {
          expect(checksum.verify(data.slice(sector * 512, (sector + 1) * 512), sums, 2 + sector * size)).toBe(true);
        }
        expect(checksum.findBadSector(data, 512, sums, 2)).toBe(-1);
        sums[2 + 3 * size]! ^= 128;
        sums[2 + 6 * size + size - 1]! ^= 1;
        expect(checksum.findBadSector(data, 512, sums, 2)).toBe(3);
        expect(checksum.findBadSector(data, 512, sums, 2, 4)).toBe(6);
        expect(checksum.findBadSector(data, 512, sums, 2, 7)).toBe(-1);
      }
    });

    test("the CRC of sectors follows from their checksums, on from any seed", async () => {
      const data = Uint8Array.from({ length: 40 * 4096 }, (_, index) => Math.imul(index, 2654435761) >>> 20);
      const checksum = await loadChecksum(0);
      for (const size of [512, 4096]) {
        const sums = new Uint8Array(3 + (data.byteLength / size) * 4);
        checksum.computeSectors(data, size, sums, 3);
        for (const [first, count] of [
          [0, 0],
          [0, 1],
          [2, 38],
          [7, 30],
        ] as const) {
          for (const seed of [0, 1, 0x8000_0001, 0xffff_ffff]) {
            const joined = checksum.joinSectors!(seed, size, sums, 3 + first * 4, count);
            expect(joined).toBe(crc32cRaw(seed, data.subarray(first * size, (first + count) * size)));
          }
        }
      }
      for (const type of [1, 2, 3]) expect((await loadChecksum(type)).joinSectors).toBeUndefined();
    });

    test("data of a mebibyte and more is hashed whole", async () => {
      const data = new Uint8Array(1_200_000).map((_, index) => Math.imul(index, 40503) >>> 7);
      const target = new Uint8Array(32);
      (await loadChecksum(2)).compute(data, target);
      expect(hex(target)).toBe(createHash("sha256").update(data).digest("hex"));
      (await loadChecksum(1)).compute(data, target);
      const { default: xxhash } = await import("xxhash-wasm");
      const stored = new DataView(target.buffer).getBigUint64(0, true);
      expect(stored).toBe((await xxhash()).h64Raw(data));
    });

    test("a type that nobody knows is refused by its number", async () => {
      for (const type of [4, -1, 65535, 0.5]) {
        await expect(loadChecksum(type)).rejects.toThrow(UnsupportedError);
        await expect(loadChecksum(type)).rejects.toThrow(`Cannot use checksum type ${type}: known are 0 to 3`);
      }
    });

    test("a target without room and parts of sectors are refused before anything is written", async () => {
      const checksum = await loadChecksum(2);
      expect(() => checksum.compute(ascii("x"), new Uint8Array(31))).toThrow(RangeError);
      expect(() => checksum.verify(ascii("x"), new Uint8Array(32), 1)).toThrow(RangeError);
      expect(() => checksum.computeSectors(new Uint8Array(1000), 512, new Uint8Array(99))).toThrow(RangeError);
      expect(() => checksum.computeSectors(new Uint8Array(1024), 512, new Uint8Array(63))).toThrow(RangeError);
      expect(() => checksum.findBadSector(new Uint8Array(1024), 0, new Uint8Array(64))).toThrow(RangeError);
    });
  });
}
