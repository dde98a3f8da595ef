import type { DevItem } from "../format/chunk.ts";
import type { NodeStamp } from "../transaction/new-node.ts";

/** All that a new filesystem follows from, beside what is in it. */
export interface Recipe extends NodeStamp {
  readonly sectorSize: number;
  /** Of the top-level subvolume. */
  readonly subvolumeUuid: Uint8Array;
  readonly device: InstanceType<typeof DevItem>;
  readonly freeSpaceTree: boolean;
  readonly blockGroupTree: boolean;
  readonly noHoles: boolean;
  /** Nanoseconds since 1970. */
  readonly now: bigint;
  /** Gives back what data chunks do not need. */
  readonly isTight: boolean;
  /** Bytes of the filesystem when its chunks end there. */
  readonly totalBytes: (end: number) => number;
}
