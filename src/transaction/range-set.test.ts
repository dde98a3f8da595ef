import fc from "fast-check";
import { expect, test } from "vitest";
import { RangeSet } from "./range-set.ts";

// Model test: a range set is a set of numbers, and its ranges never touch.
test("a range set holds what a set of bytes holds after any changes", () => {
  const step = fc.record({ add: fc.boolean(), start: fc.nat(60), length: fc.nat(12) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const set = new RangeSet();
      const model = new Set<number>();
      for (const { add, start, length } of steps) {
        const bytes = Array.from({ length }, (_, index) => start + index);
        if (add) {
          set.add(start, start + length);
          for (const byte of bytes) model.add(byte);
        } else {
          const expected = bytes.filter((byte) => model.delete(byte));
          const gone = set.remove(start, start + length).flatMap(expand);
          expect(gone).toEqual(expected);
        }
        expect([...set].flatMap(expand)).toEqual([...model].sort((a, b) => a - b));
        expect(set.bytes).toBe(model.size);
        for (let index = 1; index < set.count; index++) expect(set.endAt(index - 1)).toBeLessThan(set.startAt(index));
      }
    }),
  );
});

function expand({ start, end }: { start: number; end: number }): number[] {
  return Array.from({ length: end - start }, (_, index) => start + index);
}
