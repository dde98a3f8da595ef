import { describe, expect, test } from "vitest";
import { concatBytes, hex } from "../bytes/bytes.ts";
import { CorruptError } from "../errors.ts";
import { decodeLzo, encodeLzo, worstSegment } from "./lzo.ts";
import { decodeLzo1x, NO_ROOM } from "./lzo1x-decode.ts";
import { encodeLzo1x, lzo1xBound } from "./lzo1x-encode.ts";

const END = [17, 0, 0];

function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/** Byte i of a long sequence that does not repeat soon. */
function pattern(length: number, from: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index + from) * 7 + ((index + from) >> 8));
}

/** A block of nothing but literals, more than 18 of them. */
function literals(data: Uint8Array): Uint8Array {
  const rest = data.byteLength - 18;
  const zeros = Math.ceil(rest / 255) - 1;
  return concatBytes([new Uint8Array(zeros + 1), Uint8Array.of(rest - 255 * zeros), data, Uint8Array.from(END)]);
}

/** A container. A number of zeros may stand between segments. */
function container(parts: readonly (Uint8Array | number)[], total?: number): Uint8Array {
  const body = concatBytes(
    parts.map((part) => (typeof part === "number" ? new Uint8Array(part) : concatBytes([u32(part.byteLength), part]))),
  );
  return concatBytes([u32(total ?? body.byteLength + 4), body]);
}

function padded(data: Uint8Array, sectors = Math.ceil(data.byteLength / 4096)): Uint8Array {
  const whole = new Uint8Array(sectors * 4096);
  whole.set(data);
  return whole;
}

function decode(input: Uint8Array, options: object = {}, room = 131_072) {
  const output = new Uint8Array(room);
  const warnings: string[] = [];
  const full = { sectorSize: 4096, warn: (sentence: string) => warnings.push(sentence), ...options };
  const produced = decodeLzo(input, output, full);
  return { data: output.subarray(0, produced), warnings };
}

describe("the LZO1X block", () => {
  function block(text: string, room = 1000): string | number {
    const input = Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
    const output = new Uint8Array(room);
    const length = decodeLzo1x(input, 0, input.byteLength, output, 0, room);
    return length === NO_ROOM ? "no room" : hex(output.subarray(0, length));
  }

  // Worked out by hand from the instruction table in docs/format.
  test("each instruction does what the table says", () => {
    expect(block("110000")).toBe("");
    expect(block("12 61 110000")).toBe("61");
    expect(block("15 61626364 110000")).toBe("61626364");
    expect(block("01 61626364 110000")).toBe("61626364");
    expect(block(`00 01 ${"61".repeat(19)} 110000`)).toBe("61".repeat(19));
    expect(block(`00 00 01 ${"62".repeat(274)} 110000`)).toBe("62".repeat(274));
    // Length 3 from 2 back, then one literal; 5 from 4 back; overlapping; a match of 2 after 1 to 3 literals.
    expect(block("15 61626364 45 00 7a 110000")).toBe("616263646364637a");
    expect(block("15 61626364 8c 00 110000")).toBe("616263646162636461");
    expect(block("15 61626364 e0 00 110000")).toBe(`616263${"64".repeat(9)}`);
    expect(block("14 616263 08 00 110000")).toBe("6162636162");
    // 32 to 63 with a length that goes on: 2 + 31 + 1 bytes from 3 back.
    expect(block("14 616263 20 01 0800 110000")).toBe(`616263${"616263".repeat(11)}61`);
  });

  test("a match of three far back follows a long run of literals", () => {
    const data = pattern(2060, 0);
    const body = literals(data).subarray(0, -3);
    const input = concatBytes([body, Uint8Array.from([0, 2, ...END])]);
    const output = new Uint8Array(2063);
    expect(decodeLzo1x(input, 0, input.byteLength, output, 0, 2063)).toBe(2063);
    const from = 2060 - (2 * 4 + 2049);
    expect(hex(output.subarray(2060))).toBe(hex(data.subarray(from, from + 3)));
  });

  test("a match that starts before the block, and bytes after its end, are refused", () => {
    expect(() => block("12 61 45 00 7a 110000")).toThrow("a match starts 2 bytes back, 1 are there");
    expect(() => block("12 61 110000 00")).toThrow("1 bytes follow the end mark");
    expect(() => block("12 61 120000")).toThrow("the end mark of a block is not 11 00 00");
    expect(() => block("12 61")).toThrow(CorruptError);
    expect(() => block("")).toThrow(CorruptError);
    expect(block("15 61626364 110000", 3)).toBe("no room");
    expect(block("14 616263 20 01 0800 110000", 20)).toBe("no room");
  });

  test("no block outgrows its bound, and every length comes back", () => {
    for (let length = 0; length <= 700; length++) {
      const data = Uint8Array.from({ length }, (_, index) => Math.imul(index + length, 2654435761) >>> 24);
      const target = new Uint8Array(lzo1xBound(length));
      const end = encodeLzo1x(data, 0, length, target, 0);
      expect(end).toBeLessThanOrEqual(lzo1xBound(length));
      const back = new Uint8Array(length);
      expect(decodeLzo1x(target, 0, end, back, 0, length)).toBe(length);
      expect(Buffer.compare(back, data)).toBe(0);
    }
    for (const sectorSize of [4096, 65_536]) expect(lzo1xBound(sectorSize)).toBeLessThan(worstSegment(sectorSize));
  });

  test("matches at the ends of each reach come back", () => {
    for (const distance of [
      1, 2047, 2048, 2049, 16_383, 16_384, 16_385, 32_767, 32_768, 32_769, 49_150, 49_151, 60_000,
    ]) {
      for (const length of [4, 8, 9, 10, 33, 34, 300]) {
        const data = new Uint8Array(65_536).map((_, index) => Math.imul(index, 2654435761) >>> 17);
        const at = distance + 100;
        data.copyWithin(at, at - distance, at - distance + length);
        const target = new Uint8Array(lzo1xBound(65_536));
        const end = encodeLzo1x(data, 0, 65_536, target, 0);
        const back = new Uint8Array(65_536);
        expect(decodeLzo1x(target, 0, end, back, 0, 65_536)).toBe(65_536);
        expect(Buffer.compare(back, data)).toBe(0);
      }
    }
  });
});

describe("the container", () => {
  // The kernel was asked for all of these: it reads what is read here, and answers EIO where this throws.
  test.each([
    [4064, 0],
    [4065, 3],
    [4066, 2],
    [4067, 1],
    [4068, 0],
  ])("a first segment of %i literals is followed by %i bytes of padding, which must be there", (length, padding) => {
    const [first, second] = [pattern(length, 0), pattern(100, length)];
    const good = container([literals(first), padding, literals(second)]);
    expect(decode(padded(good)).data).toEqual(concatBytes([first, second]));
    expect(decode(padded(good), { strict: true }).data.byteLength).toBe(length + 100);
    if (padding > 0) expect(() => decode(padded(container([literals(first), literals(second)])))).toThrow(CorruptError);
  });

  test("padding behind the last segment is written and counted", () => {
    // Noise of 4064 to 4068 bytes: segments that end at 4092 to 4096.
    const totals = [4064, 4065, 4066, 4067, 4068].map((length) => {
      let random = 1;
      const data = new Uint8Array(length).map(() => {
        random = Math.imul(random, 48_271) & 0x7fff_ffff;
        return random >>> 16;
      });
      const target = new Uint8Array(8192);
      const total = encodeLzo(data, target, { sectorSize: 4096 });
      expect(decode(target.subarray(0, total), { strict: true }).data).toEqual(data);
      return total;
    });
    expect(totals).toEqual([4092, 4096, 4096, 4096, 4096]);
  });

  const small = literals(pattern(100, 0));

  test("a total that does not fit the input is refused", () => {
    for (const total of [0, 4, 131_073, 4097]) {
      expect(() => decode(padded(container([small], total)))).toThrow(`the header says ${total} bytes`);
    }
    expect(() => decode(padded(container([small]), 2))).toThrow("do not reach the last sector");
    expect(() => decode(Uint8Array.of(9, 0, 0))).toThrow("hold no header");
  });

  test("a total inside of the last segment is read and reported; strict refuses it", () => {
    const input = padded(container([small, small], 4 + 109 + 20));
    const { data, warnings } = decode(input);
    expect(data).toEqual(concatBytes([pattern(100, 0), pattern(100, 0)]));
    expect(warnings).toEqual(["Odd lzo data: the total says 133 bytes, a segment ends at 222"]);
    expect(() => decode(input, { strict: true })).toThrow(CorruptError);
  });

  test("a total too large takes zeros for a segment, unless the output is full before", () => {
    const input = padded(container([small], 200));
    expect(() => decode(input)).toThrow("a segment of 0 bytes");
    expect(decode(input, {}, 100).data).toEqual(pattern(100, 0));
  });

  test("segments may decode to less or a little more than a sector, up to the worst case", () => {
    const sizes = [2048, 2048, 4097, 4300, 500];
    let at = 0;
    const parts: (Uint8Array | number)[] = [];
    let stored = 4;
    for (const size of sizes) {
      const left = 4096 - (stored % 4096);
      if (left < 4) parts.push(left);
      const segment = literals(pattern(size, at));
      parts.push(segment);
      stored += (left < 4 ? left : 0) + 4 + segment.byteLength;
      at += size;
    }
    expect(decode(padded(container(parts))).data).toEqual(pattern(at, 0));
    expect(() => decode(padded(container([literals(pattern(4410, 0))])))).toThrow("1 to 4419 are possible");
    const zeros = new Uint8Array(8192);
    const target = new Uint8Array(9000);
    const bomb = target.slice(0, encodeLzo1x(zeros, 0, 8192, target, 0));
    expect(() => decode(padded(container([bomb])))).toThrow("decodes to more than 4419 bytes");
    expect(() => decode(padded(container([bomb])), {}, 100)).toThrow("decodes to more than 4419 bytes");
    expect(decode(padded(container([Uint8Array.from(END), small]))).data).toEqual(pattern(100, 0));
  });

  test("a match does not reach into the segment before", () => {
    expect(() => decode(padded(container([small, Uint8Array.from([0x12, 1, 0x45, 0, 0, ...END])])))).toThrow(
      CorruptError,
    );
  });

  test("an inline extent is one segment that fills it", () => {
    const options = { inline: true };
    expect(decode(container([small]), options).data).toEqual(pattern(100, 0));
    expect(() => decode(container([small, small]), options)).toThrow(CorruptError);
    expect(() => decode(concatBytes([container([small]), new Uint8Array(1)]), options)).toThrow(
      "the header says 113 bytes",
    );
    expect(() => decode(container([small], 110), options)).toThrow(CorruptError);
    const target = new Uint8Array(200);
    const length = encodeLzo(new Uint8Array(4096), target, { sectorSize: 4096, inline: true });
    expect(decode(target.subarray(0, length), { ...options, strict: true }).data).toEqual(new Uint8Array(4096));
  });

  test("damage behind the last byte that is wanted does not matter", () => {
    const input = padded(container([small, Uint8Array.of(1, 2, 3)]));
    expect(decode(input, {}, 100).data).toEqual(pattern(100, 0));
    expect(() => decode(input, {}, 101)).toThrow(CorruptError);
  });
});
