import type { Codecs } from "#codec";
import type { NodeBlock } from "../format/node.ts";
import type { BlockTree, LeavesAhead, Tree } from "../tree/source.ts";
import type { ExtentRefs } from "./back-refs.ts";
import type { ChunkFiller, Piece, Pieces } from "./chunk.ts";
import type { Snapshot } from "./snapshot.ts";

/** Stored bytes of extents. */
export interface DataSource {
  /** Bytes. */
  readonly sectorSize: number;
  codecs(): Promise<Codecs>;
  /**
   * Fills `target` with stored bytes of the extent of a piece, verified. A promise only where it has to be waited for.
   *
   * @param from Byte of the extent to begin at. In whole sectors, as the length of `target`.
   */
  readStored(piece: Piece, from: number, target: Uint8Array): void | Promise<void>;
  /**
   * `length` stored bytes at `logical`, verified: without waiting, `undefined` where that can't be, or they are not good.
   * They are there until the next call. Of data that has checksums.
   *
   * @param pieces What is wanted afterwards: those behind `index`.
   */
  verifiedAt?(logical: number, length: number, pieces: Pieces, index: number): Uint8Array | undefined;
  /** The raw CRC-32C, from `seed` on, of what `verifiedAt` gave, or its first `length` bytes. */
  crcOf?(logical: number, length: number, seed: number): number;
  /** Fills `target` with what the file has, where the host decodes; absent where that is done here. */
  readPlain?(piece: Piece, target: Uint8Array): void | Promise<void>;
}

/** Where send reads from: an image, or whatever else has trees and data. */
export interface SendSource {
  /** Bytes. */
  readonly sectorSize: number;
  readonly nodeSize: number;
  /** The read-only snapshot with this id. @param mayBeWritable Where nobody can write to it, any subvolume will do. */
  openSnapshot(id: bigint, mayBeWritable?: boolean): Promise<Snapshot>;
  /** Fills chunks with data, for one stream of a snapshot. @param alone Without the help of other threads. */
  filler(snapshot: Snapshot, alone?: boolean): ChunkFiller;
  /** Whether all of these bytes are data of one chunk. */
  isData(logical: number, length: number): boolean;
  /** What back references need; absent where block addresses can't be seen. */
  readonly blocks?: BlockSource | undefined;
  /** Who refers to extents, as far as `blocks` does not tell. @param roots What may be cloned from. */
  references?(roots: readonly Snapshot[]): ExtentRefs;
  /** Called when all is sent but END. @throws {BtrfsError} when what was sent can't be trusted. */
  finish?(): Promise<void>;
}

export interface BlockSource {
  extentTree(): Promise<Tree>;
  /** The tree of a subvolume; `undefined` when there is none. */
  findTree(id: bigint): Promise<BlockTree | undefined>;
  /** The node at an address that an extent item has. */
  readBlock(logical: number, level: number, generation: number): Promise<NodeBlock>;
  /** A leaf that a cursor has just passed, to be looked at now: `undefined` when it is none of those. */
  lentNow(logical: number, generation: number): NodeBlock | undefined;
  /** Where leaves are read before cursors come to them. */
  readonly ahead?: LeavesAhead | undefined;
  /** The same without waiting; `undefined` where that can't be. */
  blockNow(logical: number, level: number, generation: number): NodeBlock | undefined;
}
