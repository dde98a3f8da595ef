import { expect, test } from "vitest";
import { NumberSet } from "./number-set.ts";

test("a number set holds what a set holds", () => {
  const model = new Set<number>();
  const numbers = new NumberSet();
  let state = 1;
  for (let count = 0; count < 100_000; count++) {
    state = (state * 48271) % 0x7fff_ffff;
    // Some repeat, some differ above the low 32 bits only.
    const value = 1 + (state % 30_000) * 4096 + (state % 3) * 2 ** 40;
    if (numbers.add(value) === model.has(value)) expect.fail(`${value} is new to one of them only`);
    model.add(value);
  }
  expect(numbers.size).toBe(model.size);
  for (const value of model) if (!numbers.has(value)) expect.fail(`${value} is lost`);
  expect(numbers.has(7)).toBe(false);
  expect(numbers.add(Number.MAX_SAFE_INTEGER)).toBe(true);
  expect(numbers.add(Number.MAX_SAFE_INTEGER)).toBe(false);
});
