import { expect, test } from "vitest";
import { toBytes } from "../bytes/bytes.ts";
import { hashName, nameHash } from "./name-hash.ts";

function hashOf(parent: number, name: string): string {
  const bytes = toBytes(`(${name})`);
  hashName(parent, bytes, 1, bytes.byteLength - 1);
  return `${nameHash.low} ${nameHash.high}`;
}

test("a name hashes alike wherever it stands, and otherwise in another directory, of another length, with another byte", () => {
  const bytes = toBytes("/home/home");
  hashName(7, bytes, 1, 5);
  const first = { ...nameHash };
  hashName(7, bytes, 6, 10);
  expect(nameHash).toEqual(first);

  const seen = new Set<string>();
  let count = 0;
  for (let parent = 0; parent < 10; parent++) {
    for (let length = 1; length < 20; length++) {
      for (const last of ["a", "b", "\\0"]) {
        seen.add(hashOf(parent, "x".repeat(length - 1) + last));
        count++;
      }
    }
  }
  expect(seen.size).toBe(count);
});

test("each half of the hash of many names alike is spread evenly", () => {
  const buckets = { low: new Uint32Array(64), high: new Uint32Array(64) };
  for (let index = 0; index < 64_000; index++) {
    hashOf(256, `o${index}-7-0`);
    for (const half of ["low", "high"] as const) {
      for (const shift of [0, 26]) buckets[half][(nameHash[half] >>> shift) & 63]!++;
    }
  }
  // 2000 expected in each, with a deviation of 45.
  for (const half of [buckets.low, buckets.high]) {
    for (const count of half) expect(Math.abs(count - 2000)).toBeLessThan(300);
  }
});
