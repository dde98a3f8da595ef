import { expect, test } from "vitest";
import { firstNonZero } from "./bytes.ts";

test("the first byte that is not zero is found wherever it stands and wherever the bytes begin in their buffer", () => {
  const buffer = new ArrayBuffer(64);
  for (let begin = 0; begin < 5; begin++) {
    for (let length = 0; length < 20; length++) {
      const bytes = new Uint8Array(buffer, begin, length);
      for (let start = 0; start <= length + 1; start++) {
        expect(firstNonZero(bytes, start)).toBe(-1);
        for (let at = 0; at < length; at++) {
          bytes[at] = 0x80;
          expect(firstNonZero(bytes, start)).toBe(at < start ? -1 : at);
          bytes[at] = 0;
        }
      }
    }
  }
});
