import { expect, test } from "vitest";
import { TemporaryNames } from "./temporary-names.ts";

test("each name is another one, begins with the token and ends with a NUL", () => {
  const names = new TemporaryNames("abc");
  const seen = new Set<string>();
  for (let count = 0; count < 12_345; count++) {
    const bytes = names.next();
    seen.add(Buffer.from(bytes.subarray(0, bytes.indexOf(0))).toString());
  }
  expect(seen.size).toBe(12_345);
  expect([...seen].every((name) => /^\.btrkit-abc-\d+$/.test(name))).toBe(true);
});
