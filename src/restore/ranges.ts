import { BtrfsError } from "../errors.ts";
import type { Inode } from "../fs/inode.ts";

/** Bytes of content that one thread writes at a time. */
const RANGE_BYTES = 16n << 20n;
/** A file is cut into so many ranges at most, whatever its extents say. */
const MAX_RANGES = 65_536;

/**
 * Cuts a file into ranges with about 16 MiB of content each; holes count for nothing. Gives the offsets where ranges
 * begin, and the size at last.
 */
export async function cutRanges(inode: Inode): Promise<bigint[]> {
  const { size } = inode.stat;
  const edges = [0n];
  let content = 0n;
  try {
    for await (const pieces of inode.openFile().pieces(0n, size, { keepGoing: true })) {
      for (const { kind, start, end } of pieces) {
        if (kind === "zeros") continue;
        let from = start;
        while (content + end - from >= RANGE_BYTES && edges.length < MAX_RANGES) {
          from += RANGE_BYTES - content;
          content = 0n;
          edges.push(from);
        }
        content += end - from;
      }
    }
  } catch (error) {
    // Whoever copies the last range says what is wrong with it.
    if (!(error instanceof BtrfsError)) throw error;
  }
  if (edges.at(-1) !== size) edges.push(size);
  return edges;
}
