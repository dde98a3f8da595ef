import { constants } from "node:fs";
import { syncFilesystem } from "../filesystem.ts";
import type { Native } from "../native.ts";
import { close, openat } from "../open.ts";

/** Enough for the disk to be busy with for a while, so that the commits cost little. */
const EVERY_BYTES = 512 * 1024 * 1024;

/**
 * Lets what was written begin to become durable while receiving goes on: the commits at the end would wait for all of it.
 *
 * Only what the kernel has sent to the disk anyway counts, which is encoded data; plain data it collects as it likes.
 */
export class WriteBehind {
  readonly #native: Native;
  readonly #directory: number;
  readonly #every: number;
  #bytes = 0;
  #running: Promise<void> | undefined;
  #failure: unknown;

  /** @param directory On the filesystem, open. */
  constructor(native: Native, directory: number, every = EVERY_BYTES) {
    this.#native = native;
    this.#directory = directory;
    this.#every = every;
  }

  /** So many bytes more are on their way. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < this.#every || this.#running !== undefined) return;
    this.#bytes = 0;
    this.#running = this.#commit().finally(() => {
      this.#running = undefined;
    });
  }

  /** Waits for what is under way. @throws {KernelError} what could not be written. */
  async settle(): Promise<void> {
    await this.#running;
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
  }

  async #commit(): Promise<void> {
    try {
      // Of its own: nobody who gives up has to wait.
      const fd = openat(this.#native, this.#directory, ".", constants.O_RDONLY | constants.O_DIRECTORY);
      try {
        await syncFilesystem(this.#native, fd);
      } finally {
        close(this.#native, fd);
      }
    } catch (error) {
      this.#failure = error;
    }
  }
}
