import { expect, test } from "vitest";
import { sendThreadCount } from "./send-threads.ts";

const FULL = { threads: undefined, compressed: true, parent: [], clones: [] };

test("a send takes all processors, but a compressed increment one of two", () => {
  for (const increment of [{ parent: ["a"] }, { clones: ["a"] }]) {
    expect(sendThreadCount({ ...FULL, ...increment }, 2)).toBe(1);
    expect(sendThreadCount({ ...FULL, ...increment }, 1)).toBe(1);
    expect(sendThreadCount({ ...FULL, ...increment }, 4)).toBe(4);
    expect(sendThreadCount({ ...FULL, ...increment, compressed: false }, 2)).toBe(2);
    expect(sendThreadCount({ ...FULL, ...increment, threads: "2" }, 2)).toBe(2);
  }
  expect(sendThreadCount(FULL, 2)).toBe(2);
  expect(sendThreadCount({ ...FULL, threads: "3" }, 2)).toBe(3);
});

test("a count of threads is a whole number from 1 to 256", () => {
  for (const threads of ["0", "257", "1.5", "-1", "", "x"]) {
    expect(() => sendThreadCount({ ...FULL, threads }, 2)).toThrow("expected a number from 1 to 256");
  }
});
