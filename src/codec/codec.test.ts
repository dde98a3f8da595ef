import zlib from "node:zlib";
import fc from "fast-check";
import { beforeAll, describe, expect, expectTypeOf, test } from "vitest";
import { concatBytes } from "../bytes/bytes.ts";
import { BtrfsError, CorruptError } from "../errors.ts";
import * as browser from "./browser.ts";
import type { CodecSide, Codecs } from "./codec.ts";
import * as node from "./node.ts";
import type { Algorithm } from "./options.ts";

const ALGORITHMS = ["zlib", "lzo", "zstd"] as const satisfies readonly Algorithm[];
const SECTOR_SIZES = [4096, 8192, 16_384, 32_768, 65_536];
const SECTOR = { sectorSize: 4096 };

/** Text-like bytes: words repeat, at all distances. `salt` makes other texts. */
function compressible(length: number, salt = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let random = salt >>> 0 || 1;
  for (let at = 0; at < length; ) {
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
    const word = random >>> 22;
    for (let index = 0; index < 3 + (word & 7) && at < length; index++) bytes[at++] = 97 + ((word * (index + 3)) % 26);
  }
  return bytes;
}

function noise(length: number, salt = 1): Uint8Array {
  let random = salt;
  return new Uint8Array(length).map(() => {
    random = Math.imul(random ^ (random >>> 15), 0x2c1b_3c6d) + 0x9e37_79b9;
    return random >>> 11;
  });
}

function encode(codecs: Codecs, algorithm: Algorithm, data: Uint8Array, options: object = {}): Uint8Array {
  const target = new Uint8Array(data.byteLength + 4096);
  const length = codecs.encode(algorithm, data, target, { ...SECTOR, ...options });
  expect(length).toBeGreaterThan(0);
  return target.slice(0, length);
}

function padded(data: Uint8Array, sectorSize = 4096): Uint8Array {
  const whole = new Uint8Array(Math.ceil(data.byteLength / sectorSize) * sectorSize);
  whole.set(data);
  return whole;
}

test("both sides of #codec are the one interface", () => {
  expectTypeOf<typeof node>().toExtend<CodecSide>();
  expectTypeOf<typeof browser>().toExtend<CodecSide>();
  expectTypeOf<keyof typeof browser>().toEqualTypeOf<keyof typeof node>();
  expect(Object.keys(browser).sort()).toEqual(Object.keys(node).sort());
});

test("the portable side can be had in Node, and gives the same bytes as in a browser", async () => {
  const [forced, real] = [await node.loadCodecs({ portable: true }), await browser.loadCodecs()];
  const data = compressible(100_000);
  for (const algorithm of ALGORITHMS) {
    expect(forced[algorithm].implementation).not.toBe("native");
    expect(encode(forced, algorithm, data)).toEqual(encode(real, algorithm, data));
  }
  expect((await node.loadCodecs()).zlib.implementation).toBe("native");
});

for (const [side, { loadCodec, loadCodecs }] of Object.entries({ browser, node })) {
  describe(side, () => {
    let codecs: Codecs;
    beforeAll(async () => {
      codecs = await loadCodecs();
    });

    test("what is encoded decodes to the same, with padding behind it, at every level and sector size", async () => {
      const cases: [Algorithm, object][] = [
        ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((level): [Algorithm, object] => ["zlib", { level }]),
        ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].map((level): [Algorithm, object] => ["zstd", { level }]),
        ...SECTOR_SIZES.map((sectorSize): [Algorithm, object] => ["lzo", { sectorSize }]),
      ];
      const { decode } = codecs;
      const inputs = [compressible(131_072), compressible(100_000, 7), new Uint8Array(131_072), noise(20_000)];
      for (const [algorithm, options] of cases) {
        for (const data of inputs) {
          const warnings: string[] = [];
          const stored = padded(encode(codecs, algorithm, data, options), 4096);
          const target = new Uint8Array(131_072).fill(0xee);
          const full = { ...SECTOR, ...options, warn: (sentence: string) => warnings.push(sentence) };
          expect(decode(algorithm, stored, target, full)).toBe(data.byteLength);
          expect(Buffer.compare(target.subarray(0, data.byteLength), data)).toBe(0);
          expect(target.subarray(data.byteLength).every((byte) => byte === 0xee)).toBe(true);
          expect(warnings).toEqual([]);
        }
      }
      expect((await loadCodec("lzo")).algorithm).toBe("lzo");
    });

    test("any length comes back", () => {
      fc.assert(
        fc.property(
          fc.constantFrom(...ALGORITHMS),
          fc.constantFrom(...SECTOR_SIZES),
          fc.integer({ min: 1, max: 128_000 }),
          fc.integer(),
          fc.boolean(),
          (algorithm, sectorSize, length, salt, random) => {
            const data = random ? noise(length, salt) : compressible(length, salt);
            const stored = encode(codecs, algorithm, data, { sectorSize });
            const target = new Uint8Array(length);
            expect(codecs.decode(algorithm, stored, target, { sectorSize, strict: true })).toBe(length);
            expect(Buffer.compare(target, data)).toBe(0);
          },
        ),
        { numRuns: 150 },
      );
    });

    test("a buffer that is too small for the encoded bytes gives 0, never more bytes than fit", () => {
      for (const algorithm of ALGORITHMS) {
        const data = compressible(50_000);
        const { byteLength } = encode(codecs, algorithm, data);
        for (const room of [0, 1, 5, byteLength - 1]) {
          expect(codecs.encode(algorithm, data, new Uint8Array(room), SECTOR)).toBe(0);
        }
        expect(codecs.encode(algorithm, data, new Uint8Array(byteLength), SECTOR)).toBe(byteLength);
        expect(codecs.encode(algorithm, new Uint8Array(0), new Uint8Array(100), SECTOR)).toBe(0);
        const incompressible = noise(4096);
        expect(codecs.encode(algorithm, incompressible, new Uint8Array(4096), SECTOR)).toBe(0);
      }
    });

    test("output is cut where the caller's buffer ends, at any byte", () => {
      const data = compressible(30_000);
      for (const algorithm of ALGORITHMS) {
        const stored = padded(encode(codecs, algorithm, data));
        for (const room of [0, 1, 2, 100, 4095, 4096, 4097, 29_999, 30_000]) {
          const outer = new Uint8Array(room + 64).fill(0xee);
          const warnings: string[] = [];
          const target = outer.subarray(0, room);
          expect(codecs.decode(algorithm, stored, target, { ...SECTOR, warn: (text) => warnings.push(text) })).toBe(
            room,
          );
          expect(Buffer.compare(target, data.subarray(0, room))).toBe(0);
          expect(outer.subarray(room).every((byte) => byte === 0xee)).toBe(true);
          if (room === 30_000) expect(warnings).toEqual([]);
        }
        const one = padded(encode(codecs, algorithm, data.subarray(0, 1)));
        expect(codecs.decode(algorithm, one, new Uint8Array(0), SECTOR)).toBe(0);
      }
    });

    test("a bomb stops at the caller's buffer", () => {
      const zeros = Buffer.alloc(20 * 1024 * 1024);
      // A frame of 30,000 blocks that each repeat one zero 131072 times, in a window of 128 KiB.
      const bomb = new Uint8Array(6 + 30_000 * 4);
      bomb.set([0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3]);
      for (let at = 6; at < bomb.byteLength; at += 4) bomb.set([(1 << 1) | 0, 0, 131_072 >>> 13, 0], at);
      bomb[bomb.byteLength - 4]! |= 1;
      const target = new Uint8Array(8192).fill(1);
      for (const [algorithm, input] of [
        ["zlib", zlib.deflateSync(zeros)],
        ["zstd", bomb],
      ] as const) {
        expect(codecs.decode(algorithm, input, target, SECTOR)).toBe(8192);
        expect(target.every((byte) => byte === 0)).toBe(true);
        expect(() => codecs.decode(algorithm, input, target.fill(1), { ...SECTOR, strict: true })).toThrow(
          CorruptError,
        );
      }
    });

    test("damaged bytes give a corrupt error or at most the bytes that there is room for, nothing else", () => {
      const data = compressible(300, 3);
      for (const algorithm of ALGORITHMS) {
        const stored = encode(codecs, algorithm, data);
        const attempt = (input: Uint8Array) => {
          const target = new Uint8Array(1024);
          try {
            expect(codecs.decode(algorithm, input, target, SECTOR)).toBeLessThanOrEqual(1024);
          } catch (error) {
            expect(error).toBeInstanceOf(BtrfsError);
            expect(["corrupt", "truncated"]).toContain((error as BtrfsError).code);
          }
        };
        for (let length = 0; length < stored.byteLength; length++) {
          attempt(stored.slice(0, length));
          attempt(padded(stored.slice(0, length)));
        }
        for (let bit = 0; bit < stored.byteLength * 8; bit++) {
          const flipped = padded(stored);
          flipped[bit >>> 3]! ^= 1 << (bit & 7);
          attempt(flipped);
        }
      }
    });

    test("random bytes, also behind a good beginning, are no crash", () => {
      const starts: Record<Algorithm, number[]> = {
        zlib: [0x78, 0x5e],
        lzo: [0, 16, 0, 0, 100, 0, 0, 0],
        zstd: [0x28, 0xb5, 0x2f, 0xfd],
      };
      fc.assert(
        fc.property(
          fc.constantFrom(...ALGORITHMS),
          fc.boolean(),
          fc.uint8Array({ maxLength: 300 }),
          fc.nat(5000),
          (algorithm, whole, tail, room) => {
            const input = padded(concatBytes([Uint8Array.from(whole ? [] : starts[algorithm]), tail]));
            try {
              codecs.decode(algorithm, input, new Uint8Array(room), SECTOR);
            } catch (error) {
              expect(error).toBeInstanceOf(CorruptError);
            }
          },
        ),
        { numRuns: 1000 },
      );
    });

    test("levels, lengths and sector sizes that do not exist are refused", () => {
      const { encode, decode } = codecs;
      const target = new Uint8Array(200_000);
      for (const level of [0, 10, -1, 1.5, Number.NaN]) {
        expect(() => encode("zlib", new Uint8Array(10), target, { ...SECTOR, level })).toThrow(RangeError);
      }
      for (const level of [0, 16, -5]) {
        expect(() => encode("zstd", new Uint8Array(10), target, { ...SECTOR, level })).toThrow(
          `Cannot encode with zstd level ${level}: there are 1 to 15`,
        );
      }
      for (const algorithm of ALGORITHMS) {
        expect(() => encode(algorithm, new Uint8Array(131_073), target, SECTOR)).toThrow(RangeError);
        expect(() => encode(algorithm, new Uint8Array(4097), target, { ...SECTOR, inline: true })).toThrow(RangeError);
        for (const sectorSize of [0, 512, 4097, 131_072]) {
          expect(() => encode(algorithm, new Uint8Array(10), target, { sectorSize })).toThrow(RangeError);
          expect(() => decode(algorithm, new Uint8Array(10), target, { sectorSize })).toThrow(RangeError);
        }
      }
    });
  });
}
