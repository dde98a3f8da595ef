import { createHash } from "node:crypto";

/** What bytes a write puts down: from a kind and a seed, so that a history stays small and any model can make them again. */
export interface Fill {
  /** `text` compresses well, `noise` not at all, `mixed` by half. */
  readonly kind: "text" | "noise" | "mixed" | "zero";
  readonly seed: number;
}

/**
 * One step of a history, for any executor. Paths start at the top of the filesystem; each character stands for one byte
 * (latin-1), here and in names of xattrs. Offsets and lengths are in bytes.
 */
export type Operation =
  | { readonly op: "subvolume"; readonly path: string }
  | { readonly op: "snapshot"; readonly source: string; readonly path: string; readonly readOnly: boolean }
  | { readonly op: "create"; readonly path: string }
  | { readonly op: "mkdir"; readonly path: string }
  | { readonly op: "symlink"; readonly path: string; readonly target: string }
  /** `mode` with the type bits: devices, FIFOs, sockets. */
  | {
      readonly op: "mknod";
      readonly path: string;
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    }
  | { readonly op: "link"; readonly from: string; readonly path: string }
  | { readonly op: "rename"; readonly from: string; readonly path: string }
  | { readonly op: "exchange"; readonly from: string; readonly path: string }
  | { readonly op: "unlink"; readonly path: string }
  | { readonly op: "rmdir"; readonly path: string }
  | {
      readonly op: "write";
      readonly path: string;
      readonly offset: number;
      readonly length: number;
      readonly fill: Fill;
    }
  /** Bytes `unencodedOffset` and on of the fill, as part of one zlib extent of `unencodedLength`. */
  | {
      readonly op: "encodedWrite";
      readonly path: string;
      readonly offset: number;
      readonly length: number;
      readonly unencodedLength: number;
      readonly unencodedOffset: number;
      readonly fill: Fill;
    }
  | { readonly op: "truncate"; readonly path: string; readonly size: number }
  /** Never changes the size. */
  | { readonly op: "punch"; readonly path: string; readonly offset: number; readonly length: number }
  | {
      readonly op: "prealloc" | "zeroRange";
      readonly path: string;
      readonly offset: number;
      readonly length: number;
      readonly keepSize: boolean;
    }
  | {
      readonly op: "clone";
      readonly from: string;
      readonly fromOffset: number;
      readonly length: number;
      readonly path: string;
      readonly offset: number;
    }
  /** `value` in hex. ACLs and capabilities too. */
  | { readonly op: "setXattr"; readonly path: string; readonly name: string; readonly value: string }
  | { readonly op: "removeXattr"; readonly path: string; readonly name: string }
  | { readonly op: "chmod"; readonly path: string; readonly mode: number }
  | { readonly op: "chown"; readonly path: string; readonly uid: number; readonly gid: number }
  /** Nanoseconds, decimal. */
  | { readonly op: "utimes"; readonly path: string; readonly atime: string; readonly mtime: string }
  /** The property of one file; what is written later obeys. */
  | { readonly op: "compress"; readonly path: string; readonly algorithm: Algorithm }
  /** The same for all files without the property. */
  | { readonly op: "remount"; readonly algorithm: Algorithm; readonly force: boolean }
  /** Only on a new file. */
  | { readonly op: "nodatacow"; readonly path: string }
  /** Commits, so that what follows meets extents on disk. */
  | { readonly op: "sync" };

export type Algorithm = "none" | "zlib" | "lzo" | "zstd";

/** The bytes that `fill` stands for. apply.py makes the same. */
export function fillBytes(fill: Fill, length: number): Uint8Array {
  switch (fill.kind) {
    case "zero":
      return new Uint8Array(length);
    case "text":
      return repeated(Buffer.from(`history ${fill.seed}: the quick brown fox jumps over the lazy dog\n`), length);
    case "noise":
      return noise(fill.seed, length);
    case "mixed": {
      const out = repeated(Buffer.from(`mixed ${fill.seed} `), length);
      const random = noise(fill.seed, length);
      for (let at = 0; at < length; at += 2048) out.set(random.subarray(at, Math.min(at + 1024, length)), at);
      return out;
    }
  }
}

function repeated(line: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  for (let at = 0; at < length; at += line.length) out.set(line.subarray(0, Math.min(line.length, length - at)), at);
  return out;
}

function noise(seed: number, length: number): Uint8Array {
  if (length === 0) return new Uint8Array(0);
  return createHash("shake128", { outputLength: length }).update(`${seed}`).digest();
}
