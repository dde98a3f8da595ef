import type { BtrfsError } from "../errors.ts";

/** What became of damage. */
export type FindingState =
  /** Good bytes were written over it. */
  | "repaired"
  /** Good bytes are there, and would be written over it. */
  | "repairable"
  /** No good bytes are left, or nothing tells which are good. */
  | "unrepairable";

/** Damage at one place of one device, or of the filesystem where it is no device's. */
export interface Finding {
  readonly kind: "superblock" | "metadata" | "data" | "parity" | "tree";
  readonly state: FindingState;
  /** Device id; `undefined` when no single copy is bad, but all ways to read it fail. */
  readonly device: number | undefined;
  /** Name of the device. */
  readonly file: string | undefined;
  /** Byte offset on the device. */
  readonly physical: number | undefined;
  readonly logical: number | undefined;
  readonly lengthBytes: number;
  readonly error: BtrfsError;
  /** Who uses the extent: for data and metadata. */
  readonly owners: readonly Owner[];
}

/** A file that uses a data extent, or a tree that a block belongs to. */
export interface Owner {
  /** Object id of the tree: the subvolume of a file. */
  readonly root: bigint;
  readonly inode?: bigint;
  /** File offset in bytes at which the extent begins, as far as it is known. */
  readonly fileOffset?: bigint;
  /** One path of the file, from the top of the filesystem, without a slash before it, where it can be found. */
  readonly path?: Uint8Array;
}

/** What was looked at and found. Bytes are counted on every copy. */
export interface ScrubReport {
  readonly superblocks: number;
  readonly metadataBytes: number;
  readonly dataBytes: number;
  readonly parityBytes: number;
  /** Logical bytes of data without checksums: nothing can verify them. */
  readonly noChecksumBytes: number;
  /** Bytes that lie, or should, on devices that are missing. */
  readonly missingBytes: number;
  readonly repaired: number;
  readonly repairable: number;
  readonly unrepairable: number;
}

/** Whether damage is left. */
export function isClean(report: ScrubReport): boolean {
  return report.repairable === 0 && report.unrepairable === 0;
}

export type Tally = { -readonly [Name in keyof ScrubReport]: ScrubReport[Name] };

export function newTally(): Tally {
  return {
    superblocks: 0,
    metadataBytes: 0,
    dataBytes: 0,
    parityBytes: 0,
    noChecksumBytes: 0,
    missingBytes: 0,
    repaired: 0,
    repairable: 0,
    unrepairable: 0,
  };
}
