import fc from "fast-check";
import { expect, test } from "vitest";
import { BtrfsError } from "../errors.ts";
import { walkZstdFrame, zstdFrameEnd } from "./zstd-frame.ts";

/** What the kernel writes begins with one of these; the others are for the slow way. */
const USUAL = [0x00, 0x20, 0x60, 0xa0];

function slowEnd(input: Uint8Array): number {
  try {
    return walkZstdFrame(input).end;
  } catch (error) {
    if (error instanceof BtrfsError) return -1;
    throw error;
  }
}

test("the quick way finds the same end as the walk, whatever the header says", () => {
  const blocks = fc.array(fc.tuple(fc.nat(3), fc.nat(40), fc.boolean()), { maxLength: 6 });
  const header = fc.uint8Array({ minLength: 9, maxLength: 9 });
  const descriptor = fc.oneof(fc.constantFrom(...USUAL), fc.nat(255));
  const ends = new Set<number>();
  const check = ([sizes, descriptor, parts, cut]: [Uint8Array, number, [number, number, boolean][], number]): void => {
    const bytes = [0x28, 0xb5, 0x2f, 0xfd, descriptor, ...sizes.subarray(0, [1, 1, 2, 4][descriptor >>> 6])];
    for (const [type, length, isLast] of parts) {
      bytes.push((isLast ? 1 : 0) | (type << 1) | ((length << 3) & 0xff), length >>> 5, 0);
      for (let at = 0; at < (type === 1 ? 1 : length); at++) bytes.push(at);
    }
    const input = Uint8Array.from([...bytes, ...new Uint8Array(30)]);
    const byteLength = Math.max(0, input.byteLength - cut);
    const end = zstdFrameEnd(input, byteLength);
    expect(end).toBe(slowEnd(input.subarray(0, byteLength)));
    ends.add(end);
  };
  fc.assert(fc.property(fc.tuple(header, descriptor, blocks, fc.nat(60)), check), { numRuns: 2000 });
  // Some fifty, mostly.
  expect(ends.size).toBeGreaterThan(25);
});

test("a frame above the largest window is none", () => {
  const blocks = [1, 0, 0, ...new Uint8Array(20)];
  const sized = (...size: number[]) => Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0, ...size, ...blocks]);
  expect(zstdFrameEnd(sized(0, 0, 0x20, 0), 32)).toBe(12);
  expect(zstdFrameEnd(sized(1, 0, 0x20, 0), 32)).toBe(-1);
  expect(zstdFrameEnd(sized(0, 0, 0, 1), 32)).toBe(-1);
});
