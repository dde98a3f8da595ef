import { closeSync, constants, fsyncSync, openSync, readSync, statSync, writeSync } from "node:fs";
import { FILE_EXTENT_INLINE, FileExtentItem, INLINE_DATA_AT } from "../../../src/format/file-extent.ts";
import { InodeItem } from "../../../src/format/inode.ts";
import { EXTENT_DATA, INODE_ITEM } from "../../../src/format/key-type.ts";
import * as linux from "../../../src/linux/index.ts";
import type { StoredFile } from "../../contract/encoded-io.ts";
import type { StoredExtent } from "../../contract/encoded-write-vectors.ts";
import type { FileStep } from "../../contract/file-steps.ts";

/** Makes a file of a mounted btrfs by the steps of the vectors. `pathOf` leads to the files that are cloned from. */
export function makeLiveFile(
  native: linux.Native,
  path: string,
  steps: readonly FileStep[],
  pathOf: (file: string) => string,
): void {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    for (const step of steps) carryOut(native, fd, step, pathOf);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function carryOut(native: linux.Native, fd: number, step: FileStep, pathOf: (file: string) => string): void {
  if (step.do === "write") writeSync(fd, step.data, 0, step.data.byteLength, step.at);
  else if (step.do === "truncate") linux.ftruncate(native, fd, step.size);
  else if (step.do === "fallocate") {
    linux.fallocate(native, fd, step.keepSize ? linux.FALLOC_KEEP_SIZE : 0, step.at, step.length);
  } else if (step.do === "encoded") linux.encodedWrite(native, fd, step.io, step.data);
  else if (step.do === "nocow") linux.setFileFlags(native, fd, linux.FS_NOCOW_FL);
  else if (step.do === "sync") fsyncSync(fd);
  else if (step.do === "compress") {
    linux.setXattr(native, fd, undefined, "btrfs.compression", new TextEncoder().encode(step.algorithm));
  } else {
    const from = openSync(pathOf(step.from), "r");
    try {
      const source = { fd: from, offset: BigInt(step.fromAt) };
      linux.cloneRange(native, source, { fd, offset: BigInt(step.at) }, BigInt(step.length));
    } finally {
      closeSync(from);
    }
  }
}

/** The items of a file of the mounted filesystem, after a commit. */
export async function storedFile(native: linux.Native, path: string): Promise<StoredFile> {
  const inode = BigInt(statSync(path, { bigint: true }).ino);
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
    await linux.syncFilesystem(native, fd);
    const stored = { size: 0n, nbytes: 0n, extents: [] as StoredExtent[] };
    const range = {
      tree: 0n,
      min: { objectid: inode, type: INODE_ITEM, offset: 0n },
      max: { objectid: inode, type: EXTENT_DATA, offset: (1n << 64n) - 1n },
    };
    for (const { type, offset, data } of linux.searchTree(native, fd, range)) {
      const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
      if (type === INODE_ITEM) {
        const item = new InodeItem(view);
        stored.size = item.size;
        stored.nbytes = item.nbytes;
      } else if (type === EXTENT_DATA) stored.extents.push(extentOf(Number(offset), view));
    }
    return stored;
  } finally {
    closeSync(fd);
  }
}

function extentOf(at: number, view: DataView): StoredExtent {
  const item = new FileExtentItem(view);
  const { compression, type } = item;
  const ramBytes = Number(item.ramBytes);
  if (type === FILE_EXTENT_INLINE) return { at, inline: view.byteLength - INLINE_DATA_AT, compression, ramBytes };
  const [diskNumBytes, offset, numBytes] = [item.diskNumBytes, item.offset, item.numBytes].map(Number) as [
    number,
    number,
    number,
  ];
  return { at, compression, diskNumBytes, offset, numBytes, ramBytes };
}

/** Flips one bit of the byte that lies `at` bytes behind the only place where `bytes` are in the image. */
export function damageImage(image: string, bytes: Uint8Array, at: number): void {
  const fd = openSync(image, "r+");
  try {
    const place = findBytes(fd, statSync(image).size, bytes) + at;
    const byte = new Uint8Array(1);
    readSync(fd, byte, 0, 1, place);
    writeSync(fd, Uint8Array.of(byte[0]! ^ 1), 0, 1, place);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function findBytes(fd: number, size: number, bytes: Uint8Array): number {
  const window = Buffer.alloc(16 << 20);
  // Extents begin at sectors, so a window never cuts what is looked for in two.
  for (let start = 0; start < size; start += window.byteLength) {
    const length = readSync(fd, window, 0, window.byteLength, start);
    const found = window.subarray(0, length).indexOf(bytes);
    if (found !== -1) return start + found;
  }
  throw new Error("the bytes to damage are not in the image");
}
