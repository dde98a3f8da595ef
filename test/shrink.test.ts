import { expect, test } from "vitest";
import { shrink } from "./kernel/support/shrink.ts";

test("shrinking leaves exactly what a failure needs", async () => {
  const items = Array.from({ length: 100 }, (_, index) => index);
  const needs = async (list: readonly number[]) => [3, 50, 51, 98].every((item) => list.includes(item));
  expect(await shrink(items, needs, 1000)).toEqual([3, 50, 51, 98]);
});

test("shrinking stops after so many tries, with what still fails", async () => {
  let tries = 0;
  const least = await shrink([1, 2, 3, 4, 5, 6, 7, 8], async (list) => ++tries > 0 && list.includes(8), 3);
  expect(tries).toBe(3);
  expect(least).toContain(8);
});
