import { compareBytes } from "../bytes/bytes.ts";
import { comparePackedKeys, decodeKey, formatKey, type Key, packKey } from "../format/key.ts";
import {
  HEADER_BYTES,
  ITEM_HEADER_BYTES,
  ItemHeader,
  KEY_POINTER_BYTES,
  KeyPointer,
  keyAt,
  MAX_LEVEL,
  MIXED_BACKREF_REV,
  type NodeBlock,
  NodeHeader,
  slotKey,
} from "../format/node.ts";
import {
  CHUNK_TREE_OBJECTID,
  DATA_RELOC_TREE_OBJECTID,
  DEV_TREE_OBJECTID,
  EXTENT_TREE_OBJECTID,
  FS_TREE_OBJECTID,
  isSubvolumeId,
  ROOT_TREE_OBJECTID,
  TREE_LOG_OBJECTID,
  TREE_RELOC_OBJECTID,
} from "../format/objectid.ts";
import { checkItems } from "./check-items.ts";
import type { NodeLimits } from "./limits.ts";
import { failItem, failNode } from "./problem.ts";
import type { KnownLeaf } from "./same-items.ts";
import type { NodeExpectation } from "./source.ts";

/**
 * Checks a tree block that was read from `logical` against itself, the superblock and the parent.
 * The checksum is the caller's to verify, before.
 *
 * @param known Items that both have are not checked again. It hears which.
 * @throws {CorruptError} with both what is there and what was expected.
 */
export function checkNode(
  node: NodeBlock,
  logical: number,
  expect: NodeExpectation,
  limits: NodeLimits,
  known?: KnownLeaf,
): void {
  checkHeader(node, logical, limits);
  checkExpectation(node, expect);
  if (node.level > 0) {
    checkPointers(node, limits);
  } else {
    checkLeafGeometry(node);
    checkItems(node, limits, known);
  }
}

/**
 * Checks a sound block against what led to it: also for one out of a cache, which another parent may have put there.
 *
 * @throws {CorruptError}
 */
export function checkExpectation(node: NodeBlock, expect: NodeExpectation): void {
  checkIdentity(node, expect);
  if (expect.firstKey !== undefined) checkFirstKey(node, packKey(expect.firstKey), 0);
  if (expect.endKey !== undefined) checkEndKey(node, packKey(expect.endKey), 0);
}

/** The part of `checkExpectation` that needs no keys: level, generation and owner. */
export function checkIdentity(node: NodeBlock, expect: NodeExpectation): void {
  const { level, generation } = node;
  if (level !== expect.level) failNode(node, `level is ${level}, expected ${expect.level}`);
  if (generation !== expect.generation) failNode(node, `generation is ${generation}, expected ${expect.generation}`);
  if (!mayOwn(expect.owner, node.owner)) failNode(node, `owner is tree ${node.owner}, expected ${expect.owner}`);
}

/** The node's first key has to be the packed key at byte `at` of `key`: the parent's. */
export function checkFirstKey(node: NodeBlock, key: DataView, at: number): void {
  if (node.count === 0) failNode(node, `it is empty, expected first key ${formatKey(decodeKey(key, at))}`);
  if (comparePackedKeys(node.view, HEADER_BYTES, key, at) !== 0) {
    failNode(node, `first key is ${formatKey(slotKey(node, 0))}, expected ${formatKey(decodeKey(key, at))}`);
  }
}

/** The node's last key has to be below the packed key at byte `at` of `key`: the parent's next. */
export function checkEndKey(node: NodeBlock, key: DataView, at: number): void {
  const last = node.count - 1;
  if (last < 0) return;
  if (comparePackedKeys(node.view, keyAt(node, last), key, at) >= 0) {
    failNode(
      node,
      `last key is ${formatKey(slotKey(node, last))}, expected one below ${formatKey(decodeKey(key, at))}`,
    );
  }
}

const NEVER_EMPTY: ReadonlySet<bigint> = new Set([
  ROOT_TREE_OBJECTID,
  EXTENT_TREE_OBJECTID,
  CHUNK_TREE_OBJECTID,
  DEV_TREE_OBJECTID,
  FS_TREE_OBJECTID,
  DATA_RELOC_TREE_OBJECTID,
]);

/** Blocks of a subvolume may be shared with any other; log and relocation trees keep the owner elsewhere. */
function mayOwn(tree: bigint, owner: bigint): boolean {
  if (tree === owner || tree === 0n || tree === TREE_LOG_OBJECTID || tree === TREE_RELOC_OBJECTID) return true;
  return isSubvolumeId(tree) && isSubvolumeId(owner);
}

function checkHeader(node: NodeBlock, logical: number, limits: NodeLimits): void {
  const { view } = node;
  if (view.byteLength !== limits.nodeSize)
    failNode(node, `it has ${view.byteLength} bytes, expected ${limits.nodeSize}`);
  const bytenr = view.getBigUint64(NodeHeader.offsets.bytenr, true);
  if (bytenr !== BigInt(logical)) failNode(node, `its header says logical ${bytenr}, expected ${logical}`);
  const fsid = node.bytes.subarray(NodeHeader.offsets.fsid, NodeHeader.offsets.fsid + 16);
  if (compareBytes(fsid, limits.fsid) !== 0) failNode(node, "its fsid is another filesystem's");
  const revision = view.getUint8(NodeHeader.offsets.flags + 7);
  if (revision !== MIXED_BACKREF_REV)
    failNode(node, `back reference revision is ${revision}, expected ${MIXED_BACKREF_REV}`);
  checkGeneration(node, NodeHeader.offsets.generation, limits, "its generation");
  if (node.level >= MAX_LEVEL) failNode(node, `level is ${node.level}, expected below ${MAX_LEVEL}`);
  const stride = node.level === 0 ? ITEM_HEADER_BYTES : KEY_POINTER_BYTES;
  const capacity = Math.floor((view.byteLength - HEADER_BYTES) / stride);
  if (node.count > capacity) failNode(node, `it says ${node.count} items, at most ${capacity} fit`);
}

/** Data of items fills the block from its end without a gap, above the headers; keys ascend. */
function checkLeafGeometry(node: NodeBlock): void {
  const { view, count } = node;
  const headersEnd = count * ITEM_HEADER_BYTES;
  let end = view.byteLength - HEADER_BYTES;
  if (count === 0 && NEVER_EMPTY.has(node.owner)) failNode(node, `tree ${node.owner} is empty, expected an item`);
  for (let slot = 0; slot < count; slot++) {
    const at = HEADER_BYTES + slot * ITEM_HEADER_BYTES;
    const offset = view.getUint32(at + ItemHeader.offsets.offset, true);
    const size = view.getUint32(at + ItemHeader.offsets.size, true);
    if (offset + size !== end) failItem(node, slot, `data of the item ends at ${offset + size}, expected ${end}`);
    if (offset < headersEnd) failItem(node, slot, `data starts at ${offset}, headers end at ${headersEnd}`);
    if (slot > 0 && comparePackedKeys(view, at - ITEM_HEADER_BYTES, view, at) >= 0) failOrder(node, slot);
    end = offset;
  }
}

function checkPointers(node: NodeBlock, limits: NodeLimits): void {
  const { view, count } = node;
  if (count === 0) failNode(node, "it has no children, expected at least 1");
  for (let slot = 0; slot < count; slot++) {
    const at = HEADER_BYTES + slot * KEY_POINTER_BYTES;
    const low = view.getUint32(at + KeyPointer.offsets.blockptr, true);
    const high = view.getUint32(at + KeyPointer.offsets.blockptr + 4, true);
    if (low % limits.sectorSize !== 0 || high >= 0x20_0000 || (low === 0 && high === 0)) {
      const address = view.getBigUint64(at + KeyPointer.offsets.blockptr, true);
      failItem(node, slot, `child is at ${address}, expected a multiple of ${limits.sectorSize} above 0`);
    }
    checkGeneration(node, at + KeyPointer.offsets.generation, limits, "generation of a child");
    if (slot > 0 && comparePackedKeys(view, at - KEY_POINTER_BYTES, view, at) >= 0) failOrder(node, slot);
  }
}

/** The one after the superblock's is right while a transaction runs, and in a log tree. */
function checkGeneration(node: NodeBlock, at: number, limits: NodeLimits, what: string): void {
  const generation = node.view.getUint32(at + 4, true) * 0x1_0000_0000 + node.view.getUint32(at, true);
  if (generation > limits.generation + 1) {
    failNode(node, `${what} is ${generation}, the superblock's is ${limits.generation}`);
  }
}

function failOrder(node: NodeBlock, slot: number): never {
  const before: Key = slotKey(node, slot - 1);
  failItem(node, slot, `key is ${formatKey(slotKey(node, slot))}, expected one above ${formatKey(before)}`);
}
