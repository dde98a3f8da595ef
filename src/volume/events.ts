import type { BtrfsError, Where } from "../errors.ts";

/** What a reader or its user should know, and that is no failure of the call at hand. */
export type VolumeEvent =
  | {
      readonly kind: "warning";
      readonly topic: WarningTopic;
      readonly message: string;
      readonly where: Where;
    }
  | {
      /** One copy could not be read or was wrong; others are tried. */
      readonly kind: "bad-copy";
      readonly content: "metadata" | "data";
      /** Device, physical and logical address; whoever reads a file adds path and file offset. */
      readonly where: Where;
      readonly lengthBytes: number;
      readonly error: BtrfsError;
    }
  | {
      /** After `bad-copy`: another copy was good, or the bytes could be rebuilt from parity. */
      readonly kind: "recovered";
      readonly content: "metadata" | "data";
      /** Where the good bytes are from; for rebuilt ones, where they should have been. */
      readonly where: Where;
      readonly lengthBytes: number;
      readonly rebuilt: boolean;
    }
  | {
      /** No copy is good. */
      readonly kind: "unreadable";
      readonly content: "metadata" | "data";
      readonly where: Where;
      readonly lengthBytes: number;
      readonly error: BtrfsError;
    };

export type WarningTopic =
  /** The primary superblock is damaged; an older copy is used. */
  | "superblock"
  /** A log tree waits to be replayed: what was synced last is not shown. */
  | "log-tree"
  /** A device was not written by the last commits. */
  | "stale-device"
  /** A device is missing, or what was given in its place is not it. */
  | "missing-device"
  /** A device is shorter than the filesystem says. */
  | "short-device"
  /** The filesystem has been marked: errors were seen, a conversion was interrupted, data is absent. */
  | "flags"
  /** An older root than the newest is shown. */
  | "old-root"
  /** The chunk tree and the superblock's array disagree. */
  | "system-chunks"
  /** The two indexes of a directory disagree, or a name is there twice. */
  | "directory";

export type OnEvent = (event: VolumeEvent) => void;
