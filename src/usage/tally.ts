import { COMPRESS_LZO, COMPRESS_NONE, COMPRESS_ZLIB, COMPRESS_ZSTD } from "../format/file-extent.ts";

/** What extents are told apart by: the algorithm, and what is allocated but was never written. */
export const USAGE_TYPES = ["none", "zlib", "lzo", "zstd", "prealloc"] as const;
export type UsageType = (typeof USAGE_TYPES)[number];

/** Place of preallocated extents in `USAGE_TYPES`; that of the others is their `COMPRESS_*` number. */
export const PREALLOC = 4;
const PLACES: Readonly<Record<number, UsageType>> = {
  [COMPRESS_NONE]: "none",
  [COMPRESS_ZLIB]: "zlib",
  [COMPRESS_LZO]: "lzo",
  [COMPRESS_ZSTD]: "zstd",
  [PREALLOC]: "prealloc",
};

/** Bytes. */
export interface UsageBytes {
  /** On disk, each extent once; copies of profiles like dup or raid1 don't count. */
  readonly stored: bigint;
  /** What the same extents decode to. */
  readonly decoded: bigint;
  /** Used by files, as often as it is used: less than `decoded` where parts of extents are left over, more where files share them. */
  readonly referenced: bigint;
}

export interface Usage {
  /** Regular files, one for each name: a hard link counts as a file of its own. */
  readonly files: number;
  /** Extents of their own, each once; inline ones are not among them. */
  readonly extents: number;
  /** Items of files that lead to extents; inline ones are not among them. */
  readonly references: number;
  /** Extents inside of metadata. */
  readonly inline: number;
  readonly total: UsageBytes;
  /** Of the types that occur. */
  readonly byType: Readonly<Partial<Record<UsageType, UsageBytes>>>;
}

const COLUMNS = 3;
const SUMS = USAGE_TYPES.length * COLUMNS;

/** Adds up usage. Numbers that grow beyond 2^53 go on as bigints. */
export class Tally {
  files = 0;
  extents = 0;
  references = 0;
  inline = 0;
  readonly #low = new Float64Array(SUMS);
  #high: bigint[] | undefined;

  /** @param type Place in `USAGE_TYPES`. Each number is at most 2^53 - 1. */
  add(type: number, stored: number, decoded: number, referenced: number): void {
    const at = type * COLUMNS;
    this.#add(at, stored);
    this.#add(at + 1, decoded);
    this.#add(at + 2, referenced);
  }

  merge(other: Tally): void {
    this.files += other.files;
    this.extents += other.extents;
    this.references += other.references;
    this.inline += other.inline;
    for (let at = 0; at < SUMS; at++) {
      this.#add(at, other.#low[at]!);
      if (other.#high !== undefined) this.#carry(at, other.#high[at]!);
    }
  }

  /** Stored bytes of all types, for progress: not exact above 2^53. */
  get stored(): number {
    let bytes = 0;
    for (let at = 0; at < SUMS; at += COLUMNS) bytes += Number(this.#sum(at));
    return bytes;
  }

  result(): Usage {
    const byType: Partial<Record<UsageType, UsageBytes>> = {};
    const total = { stored: 0n, decoded: 0n, referenced: 0n };
    for (let type = 0; type < USAGE_TYPES.length; type++) {
      const [stored, decoded, referenced] = [0, 1, 2].map((column) => this.#sum(type * COLUMNS + column)) as [
        bigint,
        bigint,
        bigint,
      ];
      if (stored === 0n && referenced === 0n) continue;
      byType[PLACES[type]!] = { stored, decoded, referenced };
      total.stored += stored;
      total.decoded += decoded;
      total.referenced += referenced;
    }
    const { files, extents, references, inline } = this;
    return { files, extents, references, inline, total, byType };
  }

  #sum(at: number): bigint {
    return BigInt(this.#low[at]!) + (this.#high?.[at] ?? 0n);
  }

  #add(at: number, bytes: number): void {
    if (this.#low[at]! + bytes > Number.MAX_SAFE_INTEGER) {
      this.#carry(at, BigInt(this.#low[at]!));
      this.#low[at] = 0;
    }
    this.#low[at]! += bytes;
  }

  #carry(at: number, bytes: bigint): void {
    this.#high ??= new Array<bigint>(SUMS).fill(0n);
    this.#high[at]! += bytes;
  }
}
