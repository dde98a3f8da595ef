import type { Where } from "../errors.ts";

/** What was restored, and what the host could not hold. Names are counted, not inodes. */
export interface RestoreCounts {
  files: number;
  directories: number;
  symlinks: number;
  /** Devices, fifos, sockets. */
  specials: number;
  /** Further names of what was restored already. */
  hardLinks: number;
  /** Sizes of the files, holes and all. */
  fileBytes: number;
  /** Bytes written: all but holes. */
  bytes: number;
  /** Files with all of their content, and those where some is missing. */
  damagedFiles: number;
  lostBytes: number;
  /** What the host can't hold: no damage, the content is there. */
  ownersNotHeld: number;
  modesNotHeld: number;
  xattrsNotHeld: number;
  timesNotHeld: number;
  /** Devices, fifos and sockets that are left out. */
  specialsNotHeld: number;
}

export function noCounts(): RestoreCounts {
  return {
    files: 0,
    directories: 0,
    symlinks: 0,
    specials: 0,
    hardLinks: 0,
    fileBytes: 0,
    bytes: 0,
    damagedFiles: 0,
    lostBytes: 0,
    ownersNotHeld: 0,
    modesNotHeld: 0,
    xattrsNotHeld: 0,
    timesNotHeld: 0,
    specialsNotHeld: 0,
  };
}

export function addCounts(sum: RestoreCounts, more: RestoreCounts): void {
  for (const field of Object.keys(sum) as (keyof RestoreCounts)[]) sum[field] += more[field];
}

export type ProblemKind =
  /** The image is damaged: something of it, or all, is not restored. */
  | "lost"
  /** Something has the name already. */
  | "exists"
  /** The host refused it. */
  | "failed";

/** What is not as it was in the image, and why. Plain data: it crosses threads. */
export interface RestoreProblem {
  readonly kind: ProblemKind;
  /** In the image, from its top. */
  readonly path: Uint8Array;
  /** Bytes of the file that are holes in place of what was lost; absent when it is not about content. */
  readonly range?: { readonly start: bigint; readonly end: bigint };
  readonly sentence: string;
  readonly where: Where;
}

export interface RestoreSummary extends RestoreCounts {
  /** How many problems of each kind there were. */
  readonly problems: Readonly<Record<ProblemKind, number>>;
}
