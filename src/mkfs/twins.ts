import { loadChecksum } from "#checksum";
import { firstNonZero } from "../bytes/bytes.ts";
import { CHECKSUM_TYPES } from "../checksum/checksum.ts";
import { S_IFREG } from "../format/inode.ts";
import { changed, isSame } from "./content.ts";
import type { NameTable } from "./name-table.ts";
import type { SourceFile, SourceStat, TreeSource } from "./source.ts";

/** A file that has the same content as others. */
export interface Twin {
  /** As it was when its content was looked at. */
  readonly stat: SourceStat;
  /** The first of them; `undefined` where this is it. */
  readonly original: Twin | undefined;
  /** Of the first, when it has been written: its extents, and where the extent table has them. */
  rows?: readonly number[];
  firstRow?: number;
}

/** Twins by position of their subvolume and by entry. */
export type Twins = ReadonlyMap<number, ReadonlyMap<number, Twin>>;

const CHUNK_BYTES = 1 << 20;

/**
 * Finds files of the same content, by their SHA-256, among those that are longer than a sector and as long as another.
 *
 * @throws {BtrfsError} `busy` when one changes while it is read.
 */
export async function findTwins(
  source: TreeSource,
  tables: readonly NameTable[],
  sectorSize: number,
  signal?: AbortSignal,
): Promise<Twins> {
  const counts = new Map<number, number>();
  const candidates = function* (): Generator<{ tree: number; names: NameTable; entry: number; size: number }> {
    for (const [tree, names] of tables.entries()) {
      for (let entry = 0; entry < names.count; entry++) {
        const size = names.size(entry);
        if (names.type(entry) === S_IFREG && !names.isLink(entry) && size > sectorSize)
          yield { tree, names, entry, size };
      }
    }
  };
  for (const { size } of candidates()) counts.set(size, (counts.get(size) ?? 0) + 1);
  const digester = await makeDigester();
  const firsts = new Map<string, { twin: Twin; tree: number; entry: number }>();
  const twins = new Map<number, Map<number, Twin>>();
  const note = (tree: number, entry: number, twin: Twin): void => {
    const own = twins.get(tree) ?? new Map<number, Twin>();
    twins.set(tree, own);
    own.set(entry, twin);
  };
  for (const { tree, names, entry, size } of candidates()) {
    if (counts.get(size) === 1) continue;
    signal?.throwIfAborted();
    const path = names.path(entry);
    const { stat, digest } = await digester(source, path, size);
    const first = firsts.get(digest);
    if (first === undefined) {
      firsts.set(digest, { twin: { stat, original: undefined }, tree, entry });
    } else {
      note(first.tree, first.entry, first.twin);
      note(tree, entry, { stat, original: first.twin });
    }
  }
  return twins;
}

type Digester = (source: TreeSource, path: Uint8Array, size: number) => Promise<{ stat: SourceStat; digest: string }>;

async function makeDigester(): Promise<Digester> {
  const sha256 = await loadChecksum(CHECKSUM_TYPES.findIndex(({ name }) => name === "sha256"));
  // What is digested: the digest so far, the offset, and the bytes there. Zeros count for nothing, so that holes need no reading.
  const head = sha256.byteLength + 8;
  const buffer = new Uint8Array(head + CHUNK_BYTES);
  const view = new DataView(buffer.buffer);
  const content = buffer.subarray(head);
  return async (source, path, size) => {
    const file = await source.open(path);
    try {
      const stat = await file.stat();
      if (stat.size !== size) throw changed(path);
      buffer.fill(0, 0, head);
      for (let at = await skipHoles(file, 0, size); at < size; at = await skipHoles(file, at + CHUNK_BYTES, size)) {
        const wanted = Math.min(CHUNK_BYTES, size - at);
        for (let done = 0; done < wanted; ) {
          const count = await file.read(at + done, content.subarray(done, wanted));
          if (count === 0) throw changed(path);
          done += count;
        }
        const data = content.subarray(0, wanted);
        if (firstNonZero(data, 0) < 0) continue;
        view.setFloat64(sha256.byteLength, at);
        sha256.compute(buffer.subarray(0, head + wanted), buffer);
      }
      if (!isSame(stat, await file.stat())) throw changed(path);
      return { stat, digest: `${size} ${String.fromCharCode(...buffer.subarray(0, sha256.byteLength))}` };
    } finally {
      await file.close();
    }
  };
}

/** The first chunk from the one at `at` on that has data. */
async function skipHoles(file: SourceFile, at: number, size: number): Promise<number> {
  if (file.nextData === undefined || at >= size) return at;
  const found = await file.nextData(at);
  if (found === undefined) return size;
  return Math.max(at, found.start - (found.start % CHUNK_BYTES));
}
