import { BtrfsError } from "../errors.ts";
import type { Inode } from "../fs/inode.ts";
import type { RestoreResult } from "./batch.ts";
import type { ProblemKind } from "./report.ts";

/** Counts what is restored. */
export function countInode({ counts }: RestoreResult, { stat }: Inode): void {
  if (stat.kind === "file") {
    counts.files++;
    counts.fileBytes += Number(stat.size);
  } else if (stat.kind === "symlink") counts.symlinks++;
  else counts.specials++;
}

/** Tells what is not. @throws what is no `BtrfsError`. */
export function tellProblem(
  { problems }: RestoreResult,
  kind: ProblemKind,
  path: Uint8Array,
  error: unknown,
  act?: string,
): void {
  if (!(error instanceof BtrfsError)) throw error;
  const sentence = act === undefined ? error.sentence : `${act}: ${error.sentence}`;
  problems.push({ kind, path, sentence, where: error.where });
}
