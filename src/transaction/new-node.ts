import { BLOCK_HEADER_FLAGS, NodeBlock, NodeHeader } from "../format/node.ts";

/** What every new tree block of a filesystem carries. */
export interface NodeStamp {
  /** Bytes of a tree block. */
  readonly nodeSize: number;
  /** The metadata UUID. */
  readonly fsid: Uint8Array;
  readonly chunkTreeUuid: Uint8Array;
  readonly generation: number;
}

/** An empty tree block with its header filled in, all but the checksum. */
export function newNode(stamp: NodeStamp, logical: number, owner: bigint, level: number): NodeBlock {
  const node = new NodeBlock(new Uint8Array(stamp.nodeSize), { logical, tree: owner });
  initNode(node, stamp, logical, owner, level);
  return node;
}

/** Fills in the header of a tree block, all but the checksum. */
export function initNode(node: NodeBlock, stamp: NodeStamp, logical: number, owner: bigint, level: number): void {
  const header = new NodeHeader(node.view);
  header.fsid = stamp.fsid;
  header.bytenr = BigInt(logical);
  header.flags = BLOCK_HEADER_FLAGS;
  header.chunkTreeUuid = stamp.chunkTreeUuid;
  header.generation = BigInt(stamp.generation);
  header.owner = owner;
  header.level = level;
}
