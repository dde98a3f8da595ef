import type { ChecksumName } from "../checksum/checksum.ts";
import type { Compress } from "../codec/encoder.ts";
import type { ContentRunner } from "./content.ts";
import type { ContentHow } from "./content-how.ts";
import type { SingleDeviceProfile } from "./layout.ts";
import type { TreeSource } from "./source.ts";

export interface MakeOptions {
  /** Bytes of the filesystem; all that the store has by default. */
  readonly size?: number | undefined;
  /** Bytes of a tree block: 4096 to 65536. 16384 by default. */
  readonly nodeSize?: number | undefined;
  readonly checksum?: ChecksumName | undefined;
  /** At most 255 bytes. */
  readonly label?: string | Uint8Array | undefined;
  /** 16 bytes; random by default, as all the others. */
  readonly uuid?: Uint8Array | undefined;
  readonly deviceUuid?: Uint8Array | undefined;
  readonly chunkTreeUuid?: Uint8Array | undefined;
  /** Of the top-level subvolume. */
  readonly subvolumeUuid?: Uint8Array | undefined;
  readonly metadata?: SingleDeviceProfile | undefined;
  readonly data?: SingleDeviceProfile | undefined;
  /** Holes need no item. On by default. */
  readonly noHoles?: boolean | undefined;
  /** On by default. */
  readonly freeSpaceTree?: boolean | undefined;
  /** Needs the two above. Off by default: kernels before 6.1 don't know it. */
  readonly blockGroupTree?: boolean | undefined;
  /** Time of all that is made, in nanoseconds since 1970. */
  readonly now?: bigint | undefined;
  /** Files to fill it with. */
  readonly from?: TreeSource | undefined;
  /** Compresses what gets smaller by it. */
  readonly compress?: Compress | undefined;
  /** Files of the same content share their extents. They are found by SHA-256, among those longer than a sector. */
  readonly reflink?: boolean | undefined;
  /** Directories of `from` that become subvolumes. */
  readonly subvolumes?: readonly NewSubvolume[] | undefined;
  /**
   * The same tree gives the same bytes, on every host: uuids follow from names and sizes, times from those of the last
   * modification, and the codecs are those that compress alike everywhere.
   */
  readonly reproducible?: Reproducible | undefined;
  /** Lets `store` get longer than it is: without `size`, as long as what is in it needs. */
  readonly grow?: boolean | undefined;
  /** The filesystem ends where its last chunk ends, and its chunks are small. */
  readonly shrink?: boolean | undefined;
  /** Who reads and compresses; this thread by default. */
  readonly makeRunner?: ((how: ContentHow) => ContentRunner) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called now and then. */
  readonly onProgress?: ((progress: MakeProgress) => void) | undefined;
  /** Told, as a sentence, what can't be kept. */
  readonly onWarning?: ((sentence: string) => void) | undefined;
}
export interface NewSubvolume {
  /** Relative to the top of the source. */
  readonly path: string | Uint8Array;
  readonly readOnly?: boolean | undefined;
  /** It is mounted when none is named. One may be. */
  readonly isDefault?: boolean | undefined;
}

export interface Reproducible {
  /** No time is later than this, in seconds since 1970: `SOURCE_DATE_EPOCH`. */
  readonly latest?: number | undefined;
}

export interface MakeProgress {
  readonly inodes: number;
  readonly totalInodes: number;
}

export interface MadeFilesystem {
  /** Bytes of the filesystem. */
  readonly size: number;
  /** Bytes in extents. */
  readonly bytesUsed: number;
  readonly inodes: number;
  /** Stored bytes of data. */
  readonly dataBytes: number;
}
