import { close, closeSync, fstatSync, open as openCallback, openSync, read as readCallback, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { BtrfsError } from "../errors.ts";
import type { BlockSource, PullSource } from "../stream/source.ts";
import type { FileBlocks } from "./file-blocks.ts";
import { hostError } from "./host-error.ts";

const STDIN = 0;

/** Smaller ones are read in a few pieces anyway. */
const AHEAD_FROM = 1024 * 1024;

/** From this size on a thread pays for its start: until it reads, this one has read and checksummed 200 MiB. */
const THREAD_FROM = 256 * 1024 * 1024;

/** A file, pipe or device, read from where it stands to its end; the thread pool reads while the caller computes. */
export class FileSource implements PullSource {
  /** For errors: the path, or `standard input`. */
  readonly name: string;
  /** In bytes, where the host knows it: regular files. */
  readonly size: number | undefined;
  readonly #fd: number;
  #reading: Promise<number> | undefined;
  #blocks: FileBlocks | undefined;

  private constructor(fd: number, name: string, size: number | undefined) {
    this.#fd = fd;
    this.name = name;
    this.size = size;
  }

  /**
   * @param path `-` is standard input.
   * @throws {BtrfsError} what the host refused; `kind` for a directory.
   */
  static async open(path: string, signal?: AbortSignal): Promise<FileSource> {
    const name = path === "-" ? "standard input" : path;
    const fd = path === "-" ? STDIN : await openForReading(path, signal);
    const stat = fstatSync(fd);
    if (stat.isDirectory()) {
      if (fd !== STDIN) closeSync(fd);
      throw new BtrfsError("kind", `Cannot read ${name}: it is a directory, expected a file or a pipe`);
    }
    return new FileSource(fd, name, stat.isFile() ? stat.size : undefined);
  }

  read(target: Uint8Array): Promise<number> {
    this.#reading = this.#read(target);
    return this.#reading;
  }

  async #read(target: Uint8Array): Promise<number> {
    for (;;) {
      try {
        return await readSome(this.#fd, target);
      } catch (error) {
        // Someone else made our end non-blocking, and the writer is slow.
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw hostError(error, "read", this.name);
        await sleep(2);
      }
    }
  }

  /**
   * The same bytes, for one who looks at them as fast as they can be read. `undefined` where that is no gain, and where they can't be
   * read out of turn: only regular files can, and of standard input nobody knows where it stands.
   */
  async readAhead(): Promise<BlockSource | undefined> {
    if (!this.isReadAheadFrom(AHEAD_FROM)) return undefined;
    // First of all, as they take a while.
    const { ChunkThreads } = await import("./chunk-threads.ts");
    const threads = new ChunkThreads(this.#fd, this.size! >= THREAD_FROM ? 1 : 0);
    const { FileBlocks } = await import("./file-blocks.ts");
    this.#blocks = new FileBlocks(threads, this.name);
    return this.#blocks;
  }

  /**
   * The same bytes, encoded writes decoded too, for `StreamVerifier`; of a file for which `isReadAheadFrom` says so.
   *
   * @param threads The calling one included.
   */
  async decodeAhead(threads: number): Promise<BlockSource> {
    const { ChunkThreads, DECODING } = await import("./chunk-threads.ts");
    const others = new ChunkThreads(this.#fd, threads - 1, DECODING);
    const { openDecodingBlocks } = await import("./decoding-blocks.ts");
    this.#blocks = await openDecodingBlocks(others, this.name);
    return this.#blocks;
  }

  /** Whether it can be read out of turn, and has so many bytes. */
  isReadAheadFrom(byteLength: number): boolean {
    return this.#fd !== STDIN && this.size !== undefined && this.size >= byteLength;
  }

  /** Closes as soon as a read that is under way has ended; doesn't wait for that. Standard input stays open. */
  close(): void {
    if (this.#fd === STDIN) return;
    const closed = () => close(this.#fd, () => {});
    if (this.#blocks !== undefined) this.#blocks.close(closed);
    else if (this.#reading === undefined) closed();
    else this.#reading.then(closed, closed);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Files at once, anything else on a thread of the pool: a FIFO opens when its writer comes. */
async function openForReading(path: string, signal?: AbortSignal): Promise<number> {
  signal?.throwIfAborted();
  try {
    if (statSync(path).isFile()) return openSync(path, "r");
  } catch (error) {
    throw hostError(error, "open", path);
  }
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal!.reason);
    signal?.addEventListener("abort", stop, { once: true });
    openCallback(path, "r", (error, fd) => {
      signal?.removeEventListener("abort", stop);
      if (error) reject(hostError(error, "open", path));
      else if (signal?.aborted) closeSync(fd);
      else resolve(fd);
    });
  });
}

function readSome(fd: number, target: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    readCallback(fd, target, 0, target.byteLength, null, (error, count) => {
      if (error) reject(error);
      else resolve(count);
    });
  });
}
