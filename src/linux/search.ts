import { viewOf } from "../bytes/bytes.ts";
import { readSafe } from "../bytes/u64.ts";
import { type Key, MAX_U64 } from "../format/key.ts";
import { check } from "./call.ts";
import { errnoOf } from "./errno.ts";
import { describe } from "./ioctl.ts";
import type { Native } from "./native.ts";
import { TREE_SEARCH_V2 } from "./requests.ts";
import { SearchArgsV2, SearchHeader } from "./structs.ts";

/**
 * Which items: those whose key lies between the two, both included, in a node written in the range of generations.
 */
export interface SearchRange {
  /** Object id of the tree; 0 is the subvolume that the descriptor lies in. */
  readonly tree: bigint;
  readonly min?: Key | undefined;
  readonly max?: Key | undefined;
  readonly minGeneration?: bigint | undefined;
  readonly maxGeneration?: bigint | undefined;
}

/** Items as the kernel packed them: a `SearchHeader` and its data, one after the other. Lent until the next batch. */
export interface SearchBatch {
  readonly count: number;
  readonly view: DataView;
}

/** An item of a live tree; `data` is lent until the next batch. */
export interface SearchItem extends Key {
  /** Generation of the node that holds it. */
  readonly generation: bigint;
  readonly data: Uint8Array;
}

/**
 * Items of a live tree by batches, in key order. What changes meanwhile is seen or not, as it happens.
 *
 * @param room Bytes for items, grown when one is larger; or memory for them and for the argument before them.
 * @throws {KernelError} EPERM without root, ENOENT for an unknown tree.
 */
export function* searchBatches(
  native: Native,
  fd: number,
  range: SearchRange,
  room: number | Uint8Array<ArrayBuffer> = 65536,
): Generator<SearchBatch> {
  let buffer = typeof room === "number" ? new Uint8Array(SearchArgsV2.byteLength + room) : room;
  let args = new SearchArgsV2(viewOf(buffer));
  args.treeId = range.tree;
  args.minObjectid = range.min?.objectid ?? 0n;
  args.minType = range.min?.type ?? 0;
  args.minOffset = range.min?.offset ?? 0n;
  args.maxObjectid = range.max?.objectid ?? MAX_U64;
  args.maxType = range.max?.type ?? 255;
  args.maxOffset = range.max?.offset ?? MAX_U64;
  args.minTransid = range.minGeneration ?? 0n;
  args.maxTransid = range.maxGeneration ?? MAX_U64;
  for (;;) {
    args.nrItems = 0xffffffff;
    args.bufSize = BigInt(buffer.byteLength - SearchArgsV2.byteLength);
    const result = native.call("ioctl", [fd, TREE_SEARCH_V2.number, buffer]);
    if (result === -errnoOf("EOVERFLOW")) {
      // One item does not fit; the kernel says what it needs.
      const needed = readSafe(args.view, SearchArgsV2.offsets.bufSize, "item size");
      if (needed <= buffer.byteLength - SearchArgsV2.byteLength || needed > MAX_ITEM_BYTES)
        refuse(native, fd, result, range);
      const larger = new Uint8Array(SearchArgsV2.byteLength + needed);
      larger.set(buffer.subarray(0, SearchArgsV2.byteLength));
      buffer = larger;
      args = new SearchArgsV2(new DataView(buffer.buffer));
      continue;
    }
    if (result < 0) refuse(native, fd, result, range);
    const count = args.nrItems;
    if (count === 0) return;
    const view = viewOf(buffer.subarray(SearchArgsV2.byteLength));
    const last = new SearchHeader(view, lastItem(view, count));
    const [objectid, type, offset] = [last.objectid, last.type, last.offset];
    yield { count, view };
    if (!advance(args, objectid, type, offset)) return;
  }
}

/** An item is smaller than a node. */
const MAX_ITEM_BYTES = 65536 + SearchHeader.byteLength;

function refuse(native: Native, fd: number, result: number, range: SearchRange): never {
  const help = { EPERM: "this needs root (CAP_SYS_ADMIN)" };
  const context = describe(fd, TREE_SEARCH_V2, { act: `search tree ${range.tree}`, help });
  check(native, result, TREE_SEARCH_V2.name, context);
  throw new RangeError("refuse() needs a negative result");
}

function lastItem(view: DataView, count: number): number {
  let at = 0;
  for (let slot = 1; slot < count; slot++) at += SearchHeader.byteLength + lengthAt(view, at);
  return at;
}

function lengthAt(view: DataView, at: number): number {
  return view.getUint32(at + SearchHeader.offsets.len, true);
}

/** Sets the lower end to the key right after the given one; false when there is none. */
function advance(args: InstanceType<typeof SearchArgsV2>, objectid: bigint, type: number, offset: bigint): boolean {
  args.minObjectid = objectid;
  args.minType = type;
  args.minOffset = offset + 1n;
  if (offset < MAX_U64) return true;
  args.minOffset = 0n;
  args.minType = type + 1;
  if (type < 255) return true;
  args.minType = 0;
  args.minObjectid = objectid + 1n;
  return objectid < MAX_U64;
}

/** The items one by one: the pleasant form of `searchBatches`. */
export function* searchTree(native: Native, fd: number, range: SearchRange): Generator<SearchItem> {
  for (const { count, view } of searchBatches(native, fd, range)) {
    let at = 0;
    for (let slot = 0; slot < count; slot++) {
      const { objectid, type, offset, transid, len } = new SearchHeader(view, at);
      const data = new Uint8Array(view.buffer, view.byteOffset + at + SearchHeader.byteLength, len);
      yield { objectid, type, offset, generation: transid, data };
      at += SearchHeader.byteLength + len;
    }
  }
}
