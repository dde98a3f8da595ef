import type { Codecs } from "#codec";
import type { NodeBlock } from "../format/node.ts";
import type { BlockTree, Tree } from "../tree/source.ts";
import type { Snapshot } from "./snapshot.ts";

/** Where send reads from: an image, or whatever else has trees and data. */
export interface SendSource {
  /** Bytes. */
  readonly sectorSize: number;
  readonly nodeSize: number;
  /** The read-only snapshot with this id. */
  openSnapshot(id: bigint): Promise<Snapshot>;
  codecs(): Promise<Codecs>;
  /**
   * Fills `target` with stored bytes of a data extent, verified.
   *
   * @param logical Of the first byte wanted. In whole sectors, as the length of `target`.
   * @param hasChecksums False for files that were written without.
   */
  readStored(logical: number, target: Uint8Array, hasChecksums: boolean): Promise<void>;
  /** Whether all of these bytes are data of one chunk. */
  isData(logical: number, length: number): boolean;
  /** What back references need; absent where block addresses can't be seen. */
  readonly blocks?: BlockSource | undefined;
}

export interface BlockSource {
  extentTree(): Promise<Tree>;
  /** The tree of a subvolume; `undefined` when there is none. */
  findTree(id: bigint): Promise<BlockTree | undefined>;
  /** The node at an address that an extent item has. */
  readBlock(logical: number, level: number, generation: number): Promise<NodeBlock>;
}
