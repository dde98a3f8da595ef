import { createHash } from "node:crypto";
import { equalBytes } from "../../src/bytes/bytes.ts";
import { FILE_EXTENT_INLINE, FILE_EXTENT_PREALLOC } from "../../src/format/file-extent.ts";
import { INODE_PREALLOC } from "../../src/format/inode.ts";
import type { Inode, InodeKind } from "../../src/fs/inode.ts";
import { joinPath } from "../../src/fs/path.ts";
import type { TreeEntry } from "../support.ts";

const TYPES: Readonly<Record<InodeKind, TreeEntry["type"]>> = {
  file: "file",
  directory: "dir",
  symlink: "symlink",
  char: "char",
  block: "block",
  fifo: "fifo",
  socket: "socket",
};

/** What tree_of.py --holes --inodes prints of a mounted directory, from the image; in the same order. */
export async function treeOfImage(top: Inode): Promise<TreeEntry[]> {
  const out: TreeEntry[] = [];
  await addTree(top, new Uint8Array(0), new Map(), out);
  return out;
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

async function addTree(inode: Inode, path: Uint8Array, seen: Map<string, string>, out: TreeEntry[]): Promise<void> {
  out.push(await entryOf(inode, latin1(path), seen));
  if (inode.kind !== "directory") return;
  const entries = [];
  for await (const batch of inode.readDirectory()) entries.push(...batch);
  for (const entry of entries.sort((a, b) => Buffer.compare(a.name, b.name))) {
    const found = await inode.findEntry(entry.name);
    if (found === undefined || found.inode !== entry.inode || found.subvolume !== entry.subvolume) {
      throw new Error(`the two indexes disagree on ${latin1(entry.name)}`);
    }
    const child = await inode.enter(entry);
    const childPath = joinPath(path, entry.name);
    if (!equalBytes(child.path!, inode.path === undefined ? childPath : joinPath(inode.path, entry.name))) {
      throw new Error(`${latin1(childPath)} says that it is ${latin1(child.path!)}`);
    }
    await addTree(child, childPath, seen, out);
  }
}

async function entryOf(inode: Inode, path: string, seen: Map<string, string>): Promise<TreeEntry> {
  const { stat } = inode;
  const entry: Record<string, unknown> = {
    path,
    type: TYPES[stat.kind],
    mode: stat.mode,
    uid: stat.uid,
    gid: stat.gid,
    mtime: stat.mtime.toString(),
    inode: Number(inode.number),
    atime: stat.atime.toString(),
    ctime: stat.ctime.toString(),
  };
  if (stat.kind !== "directory" && stat.nlink > 1) {
    entry.nlink = stat.nlink;
    const id = `${inode.subvolume.id} ${inode.number}`;
    const first = seen.get(id) ?? path;
    seen.set(id, first);
    if (first !== path) entry.link = first;
  }
  if (stat.kind === "file") {
    entry.size = Number(stat.size);
    entry.data = await dataRanges(inode);
    if (stat.size <= 256n << 20n) entry.sha256 = await contentHash(inode);
    else entry.blocks = await blocksHash(inode);
  } else if (stat.kind === "symlink") entry.target = latin1(await inode.readSymlink());
  else if (stat.rdev !== undefined) entry.rdev = [stat.rdev.major, stat.rdev.minor];
  const xattrs = await inode.xattrs();
  if (xattrs.length > 0) {
    const sorted = xattrs.map(({ name, value }) => [latin1(name), Buffer.from(value).toString("hex")] as const);
    entry.xattrs = Object.fromEntries(sorted.sort(([a], [b]) => (a < b ? -1 : 1)));
  }
  return entry as unknown as TreeEntry;
}

async function contentHash(inode: Inode): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of inode.openFile().chunks({ chunkBytes: 300_000 })) hash.update(chunk);
  return hash.digest("hex");
}

/** Of each 4 KiB block that is not zero, after its offset as u64. */
async function blocksHash(inode: Inode): Promise<string> {
  const hash = createHash("sha256");
  for (const [first, length] of await dataRanges(inode)) {
    let start = first;
    for await (const chunk of inode.openFile().chunks({ start: BigInt(first), end: BigInt(first + length) })) {
      for (let at = 0; at < chunk.byteLength; at += 4096, start += 4096) {
        const block = chunk.subarray(at, at + 4096);
        const offset = Buffer.alloc(8);
        offset.writeBigUInt64LE(BigInt(start));
        if (block.some((byte) => byte !== 0)) hash.update(offset).update(block);
      }
    }
  }
  return hash.digest("hex");
}

/** What SEEK_DATA and SEEK_HOLE find: preallocated parts are holes. */
async function dataRanges(inode: Inode): Promise<[number, number][]> {
  const file = inode.openFile();
  const sector = inode.subvolume.filesystem.volume.sectorSize;
  const ranges: [number, number][] = [];
  for await (const batch of file.extents()) {
    for (const extent of batch) {
      if (extent.type === FILE_EXTENT_PREALLOC) continue;
      if (extent.type !== FILE_EXTENT_INLINE && extent.diskBytenr === 0) continue;
      const start = Number(extent.fileOffset);
      const length =
        extent.type === FILE_EXTENT_INLINE
          ? Math.ceil(Number(extent.ramBytes) / sector) * sector
          : Number(extent.numBytes);
      const end = Math.min(start + length, Number(file.size));
      const last = ranges.at(-1);
      if (start >= end) continue;
      if (last !== undefined && last[0] + last[1] === start) last[1] = end - last[0];
      else ranges.push([start, end - start]);
    }
  }
  // A kernel that sees as many bytes in extents as the file is long looks for no hole, unless it is told that there are
  // preallocated parts; a cloned one does not say so.
  const { flags, nbytes } = inode.stat;
  const [first] = ranges;
  if (first !== undefined && nbytes === file.size && (flags & BigInt(INODE_PREALLOC)) === 0n) {
    return [[first[0], Number(file.size) - first[0]]];
  }
  return ranges;
}
