import { BtrfsError } from "../errors.ts";

/** @throws {BtrfsError} `truncated`, unless bytes `at` to `at + length` lie inside of the source. */
export function checkBounds(
  source: { readonly name: string; readonly size: number },
  at: number,
  length: number,
): void {
  if (at >= 0 && at + length <= source.size) return;
  throw new BtrfsError("truncated", `Cannot reach byte ${at + length}: there are ${source.size} bytes`, {
    where: { file: source.name, physical: at },
  });
}
