import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { ByteSource } from "../src/device/source.ts";
import { BtrfsError } from "../src/errors.ts";

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

/** One filesystem of test/fixtures/images. */
export interface ImageFixture {
  readonly name: string;
  /** How many; their ids count from 1. */
  readonly devices: number;
  /** Options of mkfs.btrfs. */
  readonly mkfs: readonly string[];
  /** Whether `encodedAnswers` has something for it. */
  readonly encoded: boolean;
  readonly subvolumes: readonly {
    readonly id: number;
    /** From the top; each character is one byte. */
    readonly path: string;
    readonly generation: number;
    /** Id of the subvolume that holds it. */
    readonly parent: number;
    readonly uuid: string;
    readonly parentUuid: string | null;
    readonly receivedUuid: string | null;
    readonly readOnly: boolean;
  }[];
}

/** What BTRFS_IOC_ENCODED_READ said: an errno, or the fields, and the data by length and hash. */
export interface EncodedAnswer {
  readonly path: string;
  readonly offset: number;
  /** Size of the buffer that was offered, in bytes. */
  readonly buffer: number;
  readonly errno?: string;
  readonly length?: number;
  readonly unencodedLength?: number;
  readonly unencodedOffset?: number;
  readonly compression?: number;
  readonly encryption?: number;
  readonly byteLength?: number;
  readonly sha256?: string;
}

/** All filesystems of test/fixtures/images. */
export function imageFixtures(): readonly ImageFixture[] {
  return JSON.parse(readFileSync(join(fixtures, "images/index.json"), "utf8"));
}

/** Every name of all subvolumes of the image `name`, with inode numbers and holes. */
export function imageTree(name: string): TreeEntry[] {
  return parseTree(unzipped(`${name}.tree`).toString("latin1"));
}

/** What the kernel answered to encoded reads in the image `name`. */
export function encodedAnswers(name: string): EncodedAnswer[] {
  const lines = unzipped(`${name}.encoded`).toString("latin1").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line));
}

/** Device number `device`, from 1, of the image `name`: in memory, and only what is not zero. */
export function imageSource(name: string, device = 1): ByteSource {
  const { size, records } = recordsOf(name, device);
  const readSync = (at: number, target: Uint8Array): void => {
    if (at < 0 || at + target.length > size) {
      const sentence = `Cannot read ${target.length} bytes at ${at}: ${name} has ${size}`;
      throw new BtrfsError("truncated", sentence, { where: { file: name, physical: at } });
    }
    target.fill(0);
    for (const { offset, data } of records) {
      const first = Math.max(at, offset);
      const last = Math.min(at + target.length, offset + data.length);
      if (first < last) target.set(data.subarray(first - offset, last - offset), first - at);
    }
  };
  return { size, name: `${name}.${device}`, readSync, read: async (at, target) => readSync(at, target) };
}

/** Writes device number `device`, from 1, of the image `name` to the new file `path`, sparsely. */
export function unpackImage(name: string, path: string, device = 1): void {
  const { size, records } = recordsOf(name, device);
  const file = openSync(path, "wx");
  ftruncateSync(file, size);
  for (const { offset, data } of records) writeSync(file, data, 0, data.length, offset);
  closeSync(file);
}

function unzipped(name: string): Buffer {
  return gunzipSync(readFileSync(join(fixtures, "images", `${name}.gz`)));
}

function recordsOf(name: string, device: number): { size: number; records: { offset: number; data: Uint8Array }[] } {
  const packed = unzipped(`${name}.${device}`);
  const records: { offset: number; data: Uint8Array }[] = [];
  let at = 0;
  for (;;) {
    const offset = Number(packed.readBigUInt64LE(at));
    const length = packed.readUInt32LE(at + 8);
    if (length === 0) return { size: offset, records };
    records.push({ offset, data: packed.subarray(at + 12, at + 12 + length) });
    at += 12 + length;
  }
}
