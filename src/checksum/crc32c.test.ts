import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as browser from "./browser.ts";
import * as node from "./node.ts";
import { sharedMemory } from "./shared-memory.ts";

/** One bit at a time, straight from the definition. */
function slowRaw(seed: number, data: Uint8Array): number {
  let crc = seed;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return crc >>> 0;
}

const digits = new TextEncoder().encode("123456789");

for (const [side, host] of Object.entries({ browser, node })) {
  const { crc32c, crc32cRaw, crc32cRawCombine, crc32cRawRange, foldableBytes, foldableIn } = host;
  describe(side, () => {
    test("known values: the usual form, the raw form, and the header of END", () => {
      expect(crc32c(digits)).toBe(0xe306_9283);
      expect(crc32cRaw(0, digits)).toBe(0x58e3_fa20);
      expect(crc32cRaw(0, Uint8Array.of(0, 0, 0, 0, 21, 0, 0, 0, 0, 0))).toBe(0x9dc9_6c50);
      expect(crc32c(new Uint8Array(32))).toBe(0x8a91_36aa);
      expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8_ab43);
      expect(crc32c(new Uint8Array(0))).toBe(0);
      expect(crc32cRaw(0xdead_beef, new Uint8Array(0))).toBe(0xdead_beef);
    });

    test("every length, alignment and seed gives what the definition gives", () => {
      fc.assert(
        fc.property(
          fc.integer({ min: 0, max: 5000 }),
          fc.integer({ min: 0, max: 17 }),
          fc.integer({ min: 0, max: 0xffff_ffff }),
          fc.integer(),
          (length, at, seed, salt) => {
            const bytes = Uint8Array.from(
              { length: length + 20 },
              (_, index) => Math.imul(index + salt, 2654435761) >>> 23,
            );
            const data = bytes.slice(at, at + length);
            const expected = slowRaw(seed, data);
            expect(crc32cRaw(seed, data)).toBe(expected);
            expect(crc32cRaw(seed, bytes.subarray(at, at + length))).toBe(expected);
            expect(crc32cRawRange(seed, bytes, at, at + length)).toBe(expected);
            expect(crc32cRawRange(seed, bytes.subarray(3), Math.max(at, 3) - 3, Math.max(at, 3) - 3)).toBe(seed);
            expect(crc32c(data, seed)).toBe(~slowRaw(~seed, data) >>> 0);
          },
        ),
      );
    });

    test("long pieces, which are folded, give what the definition gives at every edge", () => {
      const bytes = Uint8Array.from({ length: 300_000 }, (_, index) => Math.imul(index, 2654435761) >>> 23);
      const edges = [16 * 1024, 128 * 1024, 128 * 1024 + 16 * 1024, 256 * 1024].flatMap((edge) => [
        edge - 1,
        edge,
        edge + 1,
      ]);
      for (const length of [...edges, 16 * 1024 + 63, 20_000, 49_152, 99_999, 299_990]) {
        const data = bytes.subarray(length % 7, (length % 7) + length);
        const expected = slowRaw(length, data);
        expect(crc32cRaw(length, data)).toBe(expected);
        const inPlace = length % 2 === 0 ? foldableBytes(length + 5) : foldableIn(sharedMemory(length + 5), 0);
        inPlace.set(data, 5);
        expect(crc32cRawRange(length, inPlace, 5, length + 5)).toBe(expected);
        expect(Buffer.compare(inPlace.subarray(5), data)).toBe(0);
      }
    });

    test.each([0, 1] as const)(
      "data in shared memory give what the definition gives, at every length and place, to user %d",
      (user) => {
        const memory = foldableIn(sharedMemory(60_000), user);
        memory.forEach((_, at) => {
          memory[at] = Math.imul(at, 2654435761) >>> 23;
        });
        const lengths = [
          ...Array.from({ length: 200 }, (_, n) => n),
          ...Array.from({ length: 300 }, (_, n) => 1900 + n),
        ];
        for (let n = 0; n < 300; n++) lengths.push(3000 + 31 * n, 12 * 1024 - 150 + n, 16 * 1024 - 150 + n);
        for (const length of lengths) {
          const at = (length * 7) % 41;
          expect(crc32cRawRange(length, memory, at, at + length)).toBe(
            slowRaw(length, memory.subarray(at, at + length)),
          );
        }
      },
    );

    test("a value goes on from the value before, and two values combine", () => {
      fc.assert(
        fc.property(
          fc.uint8Array({ maxLength: 3000 }),
          fc.nat(3000),
          fc.integer({ min: 0, max: 0xffff_ffff }),
          (data, cut, seed) => {
            const [first, second] = [data.subarray(0, cut), data.subarray(cut)];
            expect(crc32c(second, crc32c(first))).toBe(crc32c(data));
            expect(crc32cRaw(crc32cRaw(seed, first), second)).toBe(crc32cRaw(seed, data));
            const combined = crc32cRawCombine(crc32cRaw(seed, first), crc32cRaw(0, second), second.byteLength);
            expect(combined).toBe(crc32cRaw(seed, data));
          },
        ),
      );
    });

    test("bytes in shared memory count as any others", () => {
      const shared = new Uint8Array(new SharedArrayBuffer(4096)).fill(7);
      expect(crc32c(shared)).toBe(crc32c(new Uint8Array(shared)));
    });

    test("a range outside of the bytes is refused", () => {
      for (const [start, end] of [
        [-1, 2],
        [3, 2],
        [0, 10],
        [Number.NaN, 2],
      ] as const) {
        expect(() => crc32cRawRange(0, digits, start, end)).toThrow(RangeError);
      }
    });
  });
}
