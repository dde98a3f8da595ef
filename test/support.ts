import { readFileSync } from "node:fs";
import { join } from "node:path";

const fixtures = join(import.meta.dirname, "fixtures");

/** One stream of test/fixtures/streams, and how `btrfs send` was asked for it. */
export interface StreamFixture {
  readonly name: string;
  /** Snapshots that the stream carries, one segment each. */
  readonly snapshots: readonly string[];
  readonly protocol: 1 | 2;
  readonly parent?: string;
  readonly clones?: readonly string[];
  /** Made with `--compressed-data`. */
  readonly compressed?: boolean;
  /** Made with `--no-data`. */
  readonly noData?: boolean;
  /** Made with `-e`: no END between the segments. */
  readonly omitEnd?: boolean;
}

/** What a directory tree holds under one name, as test/kernel/support/tree_of.py prints it. */
export interface TreeEntry {
  /** From the top, which is "". Each character stands for one byte, here as in `target` and in names of xattrs. */
  readonly path: string;
  readonly type: "file" | "dir" | "symlink" | "char" | "block" | "fifo" | "socket";
  /** Permission bits, with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Nanoseconds, decimal. */
  readonly mtime: string;
  readonly size?: number;
  /** Of the contents. */
  readonly sha256?: string;
  /** Instead of `sha256` above 256 MiB: sha256 over each 4 KiB block that is not zero, after its offset as u64. */
  readonly blocks?: string;
  /** Offset and length of each stretch that is no hole. */
  readonly data?: readonly (readonly [number, number])[];
  readonly target?: string;
  /** Major and minor. */
  readonly rdev?: readonly [number, number];
  /** Where it is more than 1 and this is no directory. */
  readonly nlink?: number;
  /** First path of the same inode, where that is another one. */
  readonly link?: string;
  /** Values in hex. */
  readonly xattrs?: Readonly<Record<string, string>>;
  readonly inode?: number;
  readonly atime?: string;
  readonly ctime?: string;
}

/** All streams of test/fixtures/streams. */
export function streamFixtures(): readonly StreamFixture[] {
  return JSON.parse(readFileSync(join(fixtures, "streams/index.json"), "utf8"));
}

/** The bytes of the stream `name`. */
export function streamBytes(name: string): Uint8Array {
  return readFileSync(join(fixtures, "streams", `${name}.stream`));
}

/** What `btrfs receive --dump` of btrfs-progs 6.2 printed of the stream `name`, with TZ=UTC. */
export function goldenDump(name: string): Uint8Array {
  return readFileSync(join(fixtures, "streams", `${name}.dump`));
}

/** What the snapshot `name` of the stream fixtures held. */
export function snapshotTree(name: string): TreeEntry[] {
  return parseTree(readFileSync(join(fixtures, "streams", `${name}.tree`), "utf8"));
}

/** Reads JSON lines of tree_of.py. */
export function parseTree(lines: string): TreeEntry[] {
  return lines
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}
