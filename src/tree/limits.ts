/** What the superblock says that every node has to agree with. */
export interface NodeLimits {
  /** Bytes of a tree block. */
  readonly nodeSize: number;
  readonly sectorSize: number;
  /** Bytes of one data checksum: 4, 8 or 32. */
  readonly checksumSize: number;
  /** The metadata UUID. */
  readonly fsid: Uint8Array;
  /** Generation of the superblock; nothing is newer than the one after it. */
  readonly generation: number;
}
