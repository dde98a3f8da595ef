import fc from "fast-check";
import { expect, test } from "vitest";
import { equalBytes } from "../bytes/bytes.ts";
import { PROFILES, type Profile, STRIPE_BYTES } from "../format/chunk.ts";
import type { Chunk } from "./chunk-map.ts";
import { parityOf, placeIn, rebuildColumn, stripeOf } from "./raid.ts";

const column = fc.uint8Array({ minLength: 64, maxLength: 64 });

// Any data with its parity, any columns lost: what comes back is what was there.
test("any column comes back from P, from Q, and with any second column lost as well", () => {
  fc.assert(
    fc.property(fc.array(column, { minLength: 1, maxLength: 12 }), fc.nat(), fc.nat(), (data, a, b) => {
      const lost = a % data.length;
      const also = b % (data.length + 1);
      const [p, q] = parityOf(data, 2);
      const rest = () => [...data, p!, q!].map((bytes, index) => (index === lost ? undefined : bytes.slice()));
      expect(equalBytes(rebuildColumn(rest(), data.length, lost), data[lost]!)).toBe(true);
      if (also === lost) return;
      const without = rest();
      without[also] = undefined;
      expect(equalBytes(rebuildColumn(without, data.length, lost, also), data[lost]!)).toBe(true);
    }),
  );
});

test("Q is the sum of the columns times powers of two, in the field of polynomial 0x11d", () => {
  const double = (byte: number): number => (byte << 1) ^ (byte & 0x80 ? 0x11d : 0);
  const [d0, d1, d2] = [0x53, 0xca, 0x80];
  const [p, q] = parityOf(
    [d0, d1, d2].map((byte) => new Uint8Array(4).fill(byte)),
    2,
  );
  expect([...p!]).toEqual(new Array(4).fill(d0 ^ d1 ^ d2));
  expect([...q!]).toEqual(new Array(4).fill(d0 ^ double(d1) ^ double(double(d2))));
});

function chunkOf(profile: Profile, stripes: number): Chunk {
  const { factor, parity, striped } = PROFILES[profile];
  const dataStripes = striped ? (stripes - parity) / factor : 1;
  const stripeLength = 16 * STRIPE_BYTES;
  return {
    start: 1_000_000 * 4096,
    length: stripeLength * dataStripes,
    type: 1,
    profile,
    dataStripes,
    stripeLength,
    stripes: Array.from({ length: stripes }, (_, index) => ({
      devid: index + 1,
      physical: 0,
      deviceUuid: new Uint8Array(16),
    })),
  };
}

test.for([
  ["single", 1],
  ["dup", 2],
  ["raid1c4", 4],
  ["raid0", 3],
  ["raid10", 6],
  ["raid5", 4],
  ["raid6", 5],
] as const)("%s: every byte of every stripe is one logical byte, or parity", ([profile, count]) => {
  const chunk = chunkOf(profile, count);
  const { factor, parity } = PROFILES[profile];
  const seen = new Set<string>();
  for (let logical = chunk.start; logical < chunk.start + chunk.length; ) {
    const place = placeIn(chunk, logical);
    for (let stripe = place.stripe; stripe < place.stripe + place.copies; stripe++) seen.add(`${stripe} ${place.at}`);
    expect(place.copies).toBe(factor);
    expect(place.at + place.contiguous).toBeLessThanOrEqual(chunk.stripeLength);
    logical += Math.min(place.contiguous, STRIPE_BYTES);
  }
  for (let row = 0; parity > 0 && row < 16; row++) {
    for (let index = 0; index < parity; index++) {
      seen.add(`${stripeOf(chunk, row, chunk.dataStripes + index)} ${row * STRIPE_BYTES}`);
    }
  }
  expect(seen.size).toBe(count * 16);
});

test("the middle of a stripe reaches to its end", () => {
  expect(placeIn(chunkOf("raid5", 3), 1_000_000 * 4096 + 3 * STRIPE_BYTES + 8192)).toEqual({
    stripe: 2,
    copies: 1,
    at: STRIPE_BYTES + 8192,
    contiguous: STRIPE_BYTES - 8192,
    row: 1,
    column: 1,
  });
});
