import { expect, test } from "vitest";
import { NameWatch } from "./name-watch.ts";

test("a name is new once, among a few as among very many", () => {
  const encoder = new TextEncoder();
  for (const [count, expected] of [
    [0, 0],
    [100, 0],
    [5000, 1],
    [150_000, 1e6],
  ] as const) {
    const watch = new NameWatch(expected);
    const name = (number: number) => encoder.encode(`${number}${"x".repeat(number % 7)}`);
    for (let number = 0; number < count; number++) expect(watch.add(name(number))).toBe(true);
    for (let number = 0; number < count; number += 1 + (count >> 7)) expect(watch.add(name(number))).toBe(false);
    expect(watch.add(name(count))).toBe(true);
    expect(watch.add(new Uint8Array(1))).toBe(true);
  }
});

test("what one has seen is new to the next, which has its table", () => {
  const names = Array.from({ length: 60 }, (_, number) => Uint8Array.of(number));
  for (let round = 0; round < 3; round++) {
    const watch = new NameWatch(0);
    expect(names.map((name) => watch.add(name))).toEqual(names.map(() => true));
    watch.end();
  }
});
