import zlib from "node:zlib";
import { beforeAll, describe, expect, test } from "vitest";
import xxhash from "xxhash-wasm";
import { concatBytes } from "../bytes/bytes.ts";
import { CorruptError } from "../errors.ts";
import * as browser from "./browser.ts";
import type { Codecs } from "./codec.ts";
import * as node from "./node.ts";

// What the kernel (6.18) makes of zlib and zstd data that is not as it writes it was found by writing it with encoded
// writes. Here stands the same list, with our answers: the kernel's, or an error where it would read wrong bytes.
const bytes = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
const content = new Uint8Array(9000).map((_, index) => (index * index) >>> 11);

function padded(...parts: Uint8Array[]): Uint8Array {
  const data = concatBytes(parts);
  const whole = new Uint8Array(Math.ceil(data.byteLength / 4096) * 4096);
  whole.set(data);
  return whole;
}

for (const [side, { loadCodecs }] of Object.entries({ browser, node })) {
  let codecs: Codecs;
  beforeAll(async () => {
    codecs = await loadCodecs();
  });

  function decode(algorithm: "zlib" | "zstd", input: Uint8Array, options: object = {}, room = 9000) {
    const output = new Uint8Array(room);
    const warnings: string[] = [];
    const full = { sectorSize: 4096, warn: (sentence: string) => warnings.push(sentence), ...options };
    const produced = codecs.decode(algorithm, input, output, full);
    return { produced, good: Buffer.compare(output, content.subarray(0, room)) === 0, warnings };
  }

  /** Read as `content`, with one remark; under `strict` refused. */
  function expectOdd(algorithm: "zlib" | "zstd", input: Uint8Array, remark: string, room?: number) {
    const { good, warnings } = decode(algorithm, input, {}, room);
    expect(good).toBe(true);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(remark);
    expect(() => decode(algorithm, input, { strict: true }, room)).toThrow(CorruptError);
    expect(() => decode(algorithm, input, { strict: true, warn: undefined }, room)).toThrow(CorruptError);
    expect(decode(algorithm, input, { warn: undefined }, room).good).toBe(true);
  }

  describe(`zlib, ${side}`, () => {
    const stream = () => Uint8Array.from(zlib.deflateSync(content));

    test("window sizes of 512 to 32768 bytes are read", () => {
      for (const windowBits of [9, 10, 11, 12, 13, 14, 15]) {
        const input = padded(zlib.deflateSync(content, { windowBits }));
        expect(decode("zlib", input, { strict: true }).good).toBe(true);
      }
    });

    test("every kind of block is read: stored, fixed codes, dynamic codes, and several in a row", () => {
      const { Z_FIXED, Z_DEFAULT_STRATEGY } = zlib.constants;
      for (const options of [{ level: 0 }, { strategy: Z_FIXED }, { strategy: Z_DEFAULT_STRATEGY, memLevel: 1 }]) {
        expect(decode("zlib", padded(zlib.deflateSync(content, options)), { strict: true }).good).toBe(true);
      }
    });

    test("an adler32 that is wrong or missing is a remark", () => {
      const wrong = stream();
      wrong[wrong.byteLength - 1]! ^= 1;
      expectOdd("zlib", padded(wrong), "adler32 is");
      expectOdd("zlib", stream().subarray(0, -4), "ends without its adler32");
      expectOdd("zlib", stream().subarray(0, -1), "ends without its adler32");
    });

    test("bytes behind the stream are a remark, zeros are not", () => {
      expectOdd("zlib", padded(stream(), bytes("01")), "bytes that are not zero follow the end of the data");
      expectOdd("zlib", padded(stream(), stream()), "bytes that are not zero follow the end of the data");
      expect(decode("zlib", padded(stream()), { strict: true }).warnings).toEqual([]);
    });

    test("more than there is room for is cut, with a remark", () => {
      expectOdd("zlib", padded(stream()), "decodes to more than 5000 bytes", 5000);
    });

    test("damage behind the last byte that is wanted does not matter", () => {
      const half = zlib.deflateSync(content.subarray(0, 5000), { finishFlush: zlib.constants.Z_SYNC_FLUSH });
      expectOdd("zlib", padded(half, bytes("ff ff ff")), "decodes to more than 5000 bytes", 5000);
      expect(() => decode("zlib", padded(half, bytes("ff ff ff")), {}, 5001)).toThrow(CorruptError);
    });

    test("a header that the kernel refuses is refused", () => {
      for (const header of ["785f", "885e", "795e", "1f8b"]) {
        expect(() => decode("zlib", concatBytes([bytes(header), stream().subarray(2)]))).toThrow("is no header");
      }
      expect(() => decode("zlib", padded(zlib.deflateRawSync(content)))).toThrow(CorruptError);
      expect(() => decode("zlib", padded(zlib.gzipSync(content)))).toThrow(CorruptError);
      expect(() => decode("zlib", padded(zlib.deflateSync(content, { dictionary: content })))).toThrow(
        "preset dictionary",
      );
      expect(() => decode("zlib", new Uint8Array(4096))).toThrow(CorruptError);
      expect(() => decode("zlib", new Uint8Array(0))).toThrow("0 bytes hold no header");
    });

    test("a stream that is cut short is refused, at the end of the input and with padding", () => {
      const whole = stream();
      for (let length = 2; length < whole.byteLength - 5; length += 29) {
        expect(() => decode("zlib", whole.subarray(0, length))).toThrow(CorruptError);
      }
      expect(() => decode("zlib", whole.subarray(0, 500))).toThrow("the stream goes on behind its 500 bytes");
    });
  });

  describe(`zstd, ${side}`, () => {
    // Two raw blocks, so that each byte of the frame is known: 4096 and 4904 bytes, in a window of 128 KiB.
    const raw = (from: number, to: number, last: boolean) => {
      const header = ((to - from) << 3) | (last ? 1 : 0);
      return concatBytes([Uint8Array.of(header, header >>> 8, header >>> 16), content.subarray(from, to)]);
    };
    const MAGIC = "28b52ffd";
    const frame = (header: string, ...blocks: Uint8Array[]) => concatBytes([bytes(MAGIC + header), ...blocks]);
    const body = () => [raw(0, 4096, false), raw(4096, 9000, true)] as const;

    test("headers of every shape are read", () => {
      const single = frame("60 2822", ...body());
      const headers = ["00 38", "40 38 2822", "80 38 28230000", "c0 38 2823000000000000", "a0 28230000", "01 38 00"];
      for (const header of headers) {
        expect(decode("zstd", padded(frame(header, ...body())), { strict: true }).good).toBe(true);
      }
      expect(decode("zstd", single, { strict: true }).good).toBe(true);
    });

    test("bytes behind the frame are a remark, zeros are not", () => {
      expectOdd("zstd", padded(frame("0038", ...body()), bytes("00 01")), "bytes that are not zero follow");
      const twice = padded(frame("0038", ...body()), frame("0038", ...body()));
      expectOdd("zstd", twice, "bytes that are not zero follow");
    });

    test("a content checksum is verified", async () => {
      const hash = Number((await xxhash()).h64Raw(content) & 0xffff_ffffn);
      const input = (sum: number) => padded(frame("04 38", ...body()), new Uint8Array(Uint32Array.of(sum).buffer));
      expect(decode("zstd", input(hash), { strict: true }).good).toBe(true);
      expect(() => decode("zstd", input(hash ^ 1))).toThrow("contradicts its content size or checksum");
    });

    test("a content size that is not true is refused", () => {
      expect(() => decode("zstd", padded(frame("40 38 2722", ...body())))).toThrow("contradicts its content size");
      expect(() => decode("zstd", padded(frame("c0 38 00000000 00010000", ...body())))).toThrow(
        "contradicts its content",
      );
    });

    test("more than there is room for is cut, with a remark", () => {
      for (const room of [1, 4095, 4096, 4097, 8999]) {
        expectOdd("zstd", padded(frame("0038", ...body())), `decodes to 9000 bytes, over ${room}`, room);
      }
    });

    test("damage behind the last byte that is wanted does not matter", () => {
      const cut = frame("a0 28230000", ...body()).subarray(0, -10);
      expectOdd("zstd", cut, "does not end well", 4096);
      expect(() => decode("zstd", cut, {}, 4097)).toThrow("the frame goes on behind its");
      const bad = frame("0038", raw(0, 4096, false), bytes("07 00 00"));
      expectOdd("zstd", padded(bad), "does not end well", 4096);
      expect(() => decode("zstd", padded(bad), {}, 4097)).toThrow(CorruptError);
    });

    test("windows up to 2 MiB are read, larger ones and dictionaries are refused", () => {
      for (const window of ["00", "38", "40", "58"]) {
        const input = padded(frame(`00 ${window}`, raw(0, 1000, false), raw(1000, 2000, true)));
        expect(decode("zstd", input, { strict: true }).produced).toBe(2000);
      }
      for (const window of ["59", "60", "ff"]) {
        expect(() => decode("zstd", padded(frame(`00 ${window}`, ...body())))).toThrow("needs a window of");
      }
      expect(() => decode("zstd", padded(frame("01 38 07", ...body())))).toThrow("needs a dictionary");
      expect(() => decode("zstd", padded(frame("08 38", ...body())))).toThrow("a reserved bit");
    });

    test("what is no frame is refused", () => {
      const skippable = concatBytes([bytes("502a4d18 04000000 00000000"), frame("0038", ...body())]);
      for (const input of [new Uint8Array(4096), padded(bytes(MAGIC)), padded(skippable), content, new Uint8Array(3)]) {
        expect(() => decode("zstd", input)).toThrow(CorruptError);
      }
    });

    test("a frame that is cut short is refused at every length", () => {
      const target = new Uint8Array(3000);
      const whole = target.subarray(0, codecs.encode("zstd", content.subarray(0, 1500), target, { sectorSize: 4096 }));
      for (let length = 0; length < whole.byteLength; length++) {
        expect(() => decode("zstd", whole.subarray(0, length))).toThrow(CorruptError);
      }
    });
  });
}
