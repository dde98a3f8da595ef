import type { WriteOptions } from "../edit/sectors.ts";

export interface CopyOptions {
  /** Goes into directories, and copies symbolic links and special files as such. */
  readonly recursive: boolean;
  /** Modes with setuid, setgid and sticky, owners, times, extended attributes and hard links as found. */
  readonly preserve: boolean;
  /** Of all that is copied. Without it and `preserve`, what is new belongs to root. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
  /** Extents of the image itself are shared, not copied: where that can be, always (an error where not), or never. */
  readonly reflink: "auto" | "always" | "never";
  readonly compress?: WriteOptions["compress"];
  readonly onProblem: (problem: CopyProblem) => void;
  /** Something is copied. @param path Of the source, for people. */
  readonly onCopied?: ((path: string) => void) | undefined;
  /** @param bytes Of files that are copied so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/** What is not as in the source. */
export interface CopyProblem {
  /** Not there at all; there without something; there, but of two moments. */
  readonly kind: "not copied" | "not kept" | "changed";
  /** In the source, for people. */
  readonly path: string;
  readonly message: string;
}

export interface CopyCounts {
  files: number;
  directories: number;
  symlinks: number;
  specials: number;
  /** Names of what had been copied by another name. */
  links: number;
  /** Of files. */
  bytes: number;
  problems: number;
}
