import { CorruptError } from "../errors.ts";
import { type Key, keyOf, packKey } from "../format/key.ts";
import { EXTENT_CSUM } from "../format/key-type.ts";
import { ITEM_HEADER_BYTES, itemBytes, itemSize, slotKey } from "../format/node.ts";
import { EXTENT_CSUM_OBJECTID } from "../format/objectid.ts";
import type { Editor } from "./editor.ts";
import { leafCapacity, leafFree } from "./leaf.ts";
import type { OpenTree } from "./open-tree.ts";

export interface ChecksumOptions {
  readonly nodeSize: number;
  readonly sectorSize: number;
  /** Bytes of one checksum. */
  readonly checksumSize: number;
}

/** Checksums of data that lies together. */
interface Run {
  readonly logical: number;
  values: Uint8Array;
  /** Bytes of `values`. */
  used: number;
}

const LEAST_RUN_BYTES = 256;

/** Checksums that one EXTENT_CSUM item may hold. */
export function maxChecksums(nodeSize: number, checksumSize: number): number {
  return Math.min(Math.floor((leafCapacity(nodeSize) - 2 * ITEM_HEADER_BYTES) / checksumSize) - 1, 4096);
}

/** Checksums of stored data, sector by sector. */
export class Checksums {
  readonly #editor: Editor;
  readonly #tree: () => Promise<OpenTree>;
  readonly #options: ChecksumOptions;
  /** Checksums that one item may hold. */
  readonly #maxCount: number;

  readonly #waiting: Run[] = [];

  constructor(editor: Editor, tree: () => Promise<OpenTree>, options: ChecksumOptions) {
    this.#editor = editor;
    this.#tree = tree;
    this.#options = options;
    this.#maxCount = maxChecksums(options.nodeSize, options.checksumSize);
  }

  /**
   * Room for the checksums of `length` bytes that have none: where to write them, one behind the other, before the next
   * call. They wait in memory, those of data that lies together in one run, until `flush`.
   */
  reserve(logical: number, length: number): { readonly values: Uint8Array; readonly at: number } {
    const { checksumSize, sectorSize } = this.#options;
    const size = (length / sectorSize) * checksumSize;
    let run = this.#waiting.at(-1);
    if (run === undefined || run.logical + (run.used / checksumSize) * sectorSize !== logical) {
      run = { logical, values: new Uint8Array(Math.max(size, LEAST_RUN_BYTES)), used: 0 };
      this.#waiting.push(run);
    }
    if (run.used + size > run.values.byteLength) {
      const grown = new Uint8Array(Math.max(run.values.byteLength * 2, run.used + size));
      grown.set(run.values);
      run.values = grown;
    }
    const at = run.used;
    run.used += size;
    return { values: run.values, at };
  }

  /** Bytes that wait. */
  get waitingBytes(): number {
    return this.#waiting.reduce((sum, { values }) => sum + values.byteLength, 0);
  }

  /** Puts into the tree what waits. */
  async flush(): Promise<void> {
    const runs = this.#waiting.splice(0).sort((a, b) => a.logical - b.logical);
    for (const { logical, values, used } of runs) await this.#insert(logical, values.subarray(0, used));
  }

  async #insert(logical: number, values: Uint8Array): Promise<void> {
    const { checksumSize, sectorSize } = this.#options;
    const tree = await this.#tree();
    let at = await this.#append(tree, logical, values);
    while (at < values.byteLength) {
      const size = Math.min(values.byteLength - at, this.#maxCount * checksumSize);
      const done = this.#editor.insert(
        tree,
        csumKey(logical + (at / checksumSize) * sectorSize),
        values.subarray(at, at + size),
      );
      if (done !== undefined) await done;
      at += size;
    }
  }

  /**
   * Checksums of the sectors from `logical` on, one behind the other.
   *
   * @throws {CorruptError} when one has none.
   */
  async read(logical: number, length: number): Promise<Uint8Array> {
    const { checksumSize, sectorSize } = this.#options;
    await this.flush();
    const tree = await this.#tree();
    const values = new Uint8Array((length / sectorSize) * checksumSize);
    const end = logical + length;
    for (let at = logical; at < end; ) {
      const found = await this.#overlapping(tree, at, end);
      if (found === undefined || found.first > at)
        throw new CorruptError("Cannot trust data: it has no checksum", { logical: at });
      const behind = found.first + (found.data.byteLength / checksumSize) * sectorSize;
      const to = Math.min(end, behind);
      const from = ((at - found.first) / sectorSize) * checksumSize;
      const size = ((to - at) / sectorSize) * checksumSize;
      values.set(found.data.subarray(from, from + size), ((at - logical) / sectorSize) * checksumSize);
      at = to;
    }
    return values;
  }

  /** Removes the checksums of `[start, end)`, as far as there are any. */
  async remove(start: number, end: number): Promise<void> {
    const { checksumSize, sectorSize } = this.#options;
    await this.flush();
    const tree = await this.#tree();
    for (;;) {
      const found = await this.#overlapping(tree, start, end);
      if (found === undefined) return;
      const { first, data } = found;
      const last = first + (data.byteLength / checksumSize) * sectorSize;
      const bytesAt = (logical: number): number => ((logical - first) / sectorSize) * checksumSize;
      if (first < start) {
        await this.#editor.replace(tree, csumKey(first), data.subarray(0, bytesAt(start)));
      } else {
        await this.#editor.remove(tree, csumKey(first));
      }
      if (last > end) await this.#editor.insert(tree, csumKey(end), data.subarray(bytesAt(end)));
    }
  }

  /** Lengthens the item that ends where these begin, as far as its leaf has room. @returns Bytes of `values` taken. */
  async #append(tree: OpenTree, logical: number, values: Uint8Array): Promise<number> {
    const { checksumSize, sectorSize } = this.#options;
    const span = await this.#editor.find(tree, csumKey(logical), "atOrBefore");
    if (span === undefined) return 0;
    const key = slotKey(span.leaf, span.first);
    const size = itemSize(span.leaf, span.first);
    const count = size / checksumSize;
    if (key.type !== EXTENT_CSUM || Number(key.offset) + count * sectorSize !== logical) return 0;
    const room = Math.min(this.#maxCount - count, Math.floor(leafFree(span.leaf) / checksumSize));
    const taken = Math.min(room * checksumSize, values.byteLength);
    if (taken <= 0) return 0;
    const data = new Uint8Array(size + taken);
    data.set(itemBytes(span.leaf, span.first));
    data.set(values.subarray(0, taken), size);
    await this.#editor.replace(tree, packKey(key), data);
    return taken;
  }

  async #overlapping(
    tree: OpenTree,
    start: number,
    end: number,
  ): Promise<{ first: number; data: Uint8Array } | undefined> {
    const { checksumSize, sectorSize } = this.#options;
    const before = await this.#editor.find(tree, csumKey(start), "atOrBefore");
    if (before !== undefined) {
      const first = Number(slotKey(before.leaf, before.first).offset);
      const data = itemBytes(before.leaf, before.first).slice();
      if (first + (data.byteLength / checksumSize) * sectorSize > start) return { first, data };
    }
    const next = await this.#editor.walk(tree, { first: keyAt(start), last: keyAt(end) }).next();
    if (next === undefined) return undefined;
    return { first: Number(slotKey(next.leaf, next.first).offset), data: itemBytes(next.leaf, next.first).slice() };
  }
}

function keyAt(logical: number): Key {
  return keyOf(EXTENT_CSUM_OBJECTID, EXTENT_CSUM, BigInt(logical));
}

function csumKey(logical: number): DataView {
  return packKey(keyAt(logical));
}
