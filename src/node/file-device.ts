import * as fs from "node:fs";
import { promisify } from "node:util";
import { allDone } from "../device/all-done.ts";
import { checkBounds } from "../device/bounds.ts";
import type { ByteSource, ByteStore, DeviceFile, Read } from "../device/source.ts";
import { BtrfsError } from "../errors.ts";
import { blockDeviceSize } from "./block-device.ts";
import { HOST_CODES } from "./host-error.ts";
import { findUse } from "./mounted.ts";

const open = promisify(fs.open);
const close = promisify(fs.close);
const fstat = promisify(fs.fstat);
// Not that of `fs.promises`: loading those takes 3 ms of the start of each command.
const statAt = promisify(fs.stat);
const fdatasync = promisify(fs.fdatasync);
const ftruncate = promisify(fs.ftruncate);

export interface FileDeviceOptions {
  /** Opens for writing too; refused while the file or device is mounted. */
  readonly writable?: boolean;
  /**
   * Called with the descriptor of a regular file that is open for writing, before anything is read; what it throws ends
   * the opening. A block device is held by the kernel itself.
   */
  readonly lock?: ((fd: number) => void) | undefined;
}

/**
 * Opens an image file or a block device.
 *
 * @throws {BtrfsError} `missing`, `permission`, `kind` for what is neither; `busy` when it should be written and is in use.
 */
export async function openFileDevice(
  path: string,
  options: FileDeviceOptions & { readonly writable: true },
): Promise<ByteStore>;
export async function openFileDevice(path: string, options?: FileDeviceOptions): Promise<ByteSource>;
export async function openFileDevice(path: string, options: FileDeviceOptions = {}): Promise<ByteSource> {
  const writable = options.writable === true;
  const stat = await statAt(path).catch((cause) => {
    throw deviceError(cause, "open", path);
  });
  if (!stat.isFile() && !stat.isBlockDevice()) {
    throw new BtrfsError("kind", "Cannot open: it is neither a regular file nor a block device", {
      where: { file: path },
    });
  }
  if (writable) {
    const use = findUse(path);
    if (use !== undefined) {
      throw new BtrfsError("busy", `Cannot open for writing: ${use}, nothing may be in use`, { where: { file: path } });
    }
  }
  // On a block device O_EXCL without O_CREAT asks the kernel that nobody else holds it: no mount, no RAID.
  const exclusive = writable && stat.isBlockDevice() && process.platform === "linux" ? fs.constants.O_EXCL : 0;
  const fd = await open(path, (writable ? fs.constants.O_RDWR : fs.constants.O_RDONLY) | exclusive).catch((cause) => {
    throw deviceError(cause, "open", path);
  });
  try {
    const opened = await fstat(fd);
    if (writable && opened.isFile()) options.lock?.(fd);
    const size = opened.isBlockDevice() ? blockDeviceSize(fd, opened.rdev) : opened.size;
    return writable ? new FileStore(path, fd, size, opened.isFile()) : new FileDevice(path, fd, size);
  } catch (cause) {
    await close(fd);
    throw cause instanceof BtrfsError ? cause : deviceError(cause, "open", path);
  }
}

/** Linux moves at most this much in one call. */
const MAX_CALL_BYTES = 0x7fff_f000;
const MAX_BUFFERS = 1024;

class FileDevice implements ByteSource {
  readonly name: string;
  protected readonly fd: number;
  protected length: number;
  #closed = false;

  constructor(path: string, fd: number, size: number) {
    this.name = path;
    this.fd = fd;
    this.length = size;
  }

  get size(): number {
    return this.length;
  }

  get file(): DeviceFile {
    return { descriptor: this.fd, start: 0 };
  }

  read(at: number, target: Uint8Array, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      options.signal?.throwIfAborted();
      this.#check(at, target.byteLength);
      let done = 0;
      const next = (): void => {
        fs.read(
          this.fd,
          target,
          done,
          Math.min(target.byteLength - done, MAX_CALL_BYTES),
          at + done,
          (error, count) => {
            if (error !== null) return reject(deviceError(error, "read", this.name, at + done));
            if (count === 0) return reject(this.#ended(at + done));
            done += count;
            if (done < target.byteLength) return next();
            resolve();
          },
        );
      };
      if (target.byteLength === 0) resolve();
      else next();
    });
  }

  readSync(at: number, target: Uint8Array): void {
    this.#check(at, target.byteLength);
    for (let done = 0; done < target.byteLength; ) {
      let count: number;
      try {
        count = fs.readSync(this.fd, target, done, target.byteLength - done, at + done);
      } catch (error) {
        throw deviceError(error, "read", this.name, at + done);
      }
      if (count === 0) throw this.#ended(at + done);
      done += count;
    }
  }

  /** Reads that follow each other on the device become one call. */
  async readBatch(reads: readonly Read[]): Promise<void> {
    for (const { at, target } of reads) this.#check(at, target.byteLength);
    const sorted = [...reads].sort((a, b) => a.at - b.at);
    const runs: Promise<void>[] = [];
    for (let first = 0; first < sorted.length; ) {
      let last = first + 1;
      let end = sorted[first]!.at + sorted[first]!.target.byteLength;
      while (last < sorted.length && last - first < MAX_BUFFERS && sorted[last]!.at === end) {
        end += sorted[last++]!.target.byteLength;
      }
      runs.push(this.#readRun(sorted.slice(first, last), end));
      first = last;
    }
    await allDone(runs);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await close(this.fd);
  }

  #readRun(reads: readonly Read[], end: number): Promise<void> {
    const { at, target } = reads[0]!;
    if (reads.length === 1) return this.read(at, target);
    return new Promise((resolve, reject) => {
      const buffers = reads.map((read) => read.target);
      fs.readv(this.fd, buffers, at, (error, count) => {
        if (error !== null) return reject(deviceError(error, "read", this.name, at));
        if (count === end - at) return resolve();
        // A short count is rare: read what is missing one by one.
        const rest = reads.filter((read) => read.at + read.target.byteLength > at + count);
        allDone(rest.map((read) => this.read(read.at, read.target))).then(resolve, reject);
      });
    });
  }

  #check(at: number, length: number): void {
    if (this.#closed) throw new BtrfsError("io", "Cannot read: the device is closed", { where: { file: this.name } });
    checkBounds(this, at, length);
  }

  #ended(at: number): BtrfsError {
    return new BtrfsError("truncated", `Cannot read: it ends here, it had ${this.size} bytes when it was opened`, {
      where: { file: this.name, physical: at },
    });
  }
}

class FileStore extends FileDevice implements ByteStore {
  readonly #resizable: boolean;

  constructor(path: string, fd: number, size: number, resizable: boolean) {
    super(path, fd, size);
    this.#resizable = resizable;
  }

  async write(at: number, data: Uint8Array): Promise<void> {
    checkBounds(this, at, data.byteLength);
    for (let done = 0; done < data.byteLength; ) done += await this.#writeSome(at + done, data.subarray(done));
  }

  async flush(): Promise<void> {
    await fdatasync(this.fd).catch((cause) => {
      throw deviceError(cause, "flush", this.name);
    });
  }

  async resize(size: number): Promise<void> {
    if (size === this.size) return;
    if (!this.#resizable) throw new RangeError(`Cannot resize: ${this.name} is a block device`);
    await ftruncate(this.fd, size).catch((cause) => {
      throw deviceError(cause, "resize", this.name);
    });
    this.length = size;
  }

  #writeSome(at: number, data: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.write(this.fd, data, 0, Math.min(data.byteLength, MAX_CALL_BYTES), at, (error, count) => {
        if (error !== null) reject(deviceError(error, "write", this.name, at));
        else resolve(count);
      });
    });
  }
}

function deviceError(cause: unknown, action: string, file: string, physical?: number): BtrfsError {
  const code = (cause as NodeJS.ErrnoException).code ?? "an unknown error";
  return new BtrfsError(HOST_CODES[code] ?? "io", `Cannot ${action}: the system says ${code}`, {
    where: physical === undefined ? { file } : { file, physical },
    cause,
  });
}
