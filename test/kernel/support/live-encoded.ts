import { closeSync, constants, fsyncSync, openSync, readFileSync, readSync, statSync, writeSync } from "node:fs";
import { FS_TREE_OBJECTID } from "../../../src/format/objectid.ts";
import * as linux from "../../../src/linux/index.ts";
import type { WriteSubject } from "../../contract/encoded-io.ts";
import type { FileStep } from "../../contract/file-steps.ts";
import { type ReadItems, type StoredFile, storedFileOf } from "../../contract/stored-file.ts";
import { TestFilesystem } from "./filesystem.ts";

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
    const read: ReadItems = async (tree, min, max) =>
      Array.from(linux.searchTree(native, fd, { tree, min, max }), (item) => ({ ...item, data: item.data.slice() }));
    return await storedFileOf(read, FS_TREE_OBJECTID, inode);
  } finally {
    closeSync(fd);
  }
}

/** Files of a mounted filesystem, that the ioctl writes to. */
export class LiveWrites implements WriteSubject {
  readonly #native: linux.Native;
  readonly #filesystem: TestFilesystem;

  private constructor(native: linux.Native, filesystem: TestFilesystem) {
    this.#native = native;
    this.#filesystem = filesystem;
  }

  static async make(native: linux.Native): Promise<LiveWrites> {
    return new LiveWrites(native, await TestFilesystem.make({ sizeMiB: 512 }));
  }

  async create(file: string, steps: readonly FileStep[]): Promise<linux.LiveFile & { close(): void }> {
    const path = (name: string) => this.#filesystem.path(name.replaceAll("/", "_"));
    makeLiveFile(this.#native, path(file), steps, path);
    const fd = openSync(path(file), "r+");
    return Object.assign(new linux.LiveFile(this.#native, fd), { close: () => closeSync(fd) });
  }

  inspect(file: string): Promise<StoredFile> {
    return storedFile(this.#native, this.#filesystem.path(file));
  }

  async read(file: string): Promise<Uint8Array> {
    return readFileSync(this.#filesystem.path(file));
  }

  async close(): Promise<void> {
    await this.#filesystem[Symbol.asyncDispose]();
  }
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
