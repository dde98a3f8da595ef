import { closeSync, fsyncSync, openSync, renameSync, statSync, unlinkSync } from "node:fs";
import { FdSink } from "./fd-sink.ts";
import { hostError } from "./host-error.ts";

/**
 * A file that appears under its name when it is complete: written beside it, synced, renamed. What is no regular file,
 * as a FIFO or a device, is written straight.
 */
export class OutputFile {
  readonly #path: string;
  /** Where it is written; `undefined` when straight. */
  readonly #beside: string | undefined;
  readonly #fd: number;
  readonly #sink: FdSink;
  #isOpen = true;

  /** @throws {BtrfsError} what the host refused. */
  constructor(path: string) {
    this.#path = path;
    this.#beside = isSpecial(path) ? undefined : `${path}.partial-${process.pid}`;
    try {
      this.#fd = openSync(this.#beside ?? path, this.#beside === undefined ? "w" : "wx", 0o600);
    } catch (error) {
      throw hostError(error, "create", path);
    }
    this.#sink = new FdSink(this.#fd, path);
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#sink.write(bytes);
  }

  /** Makes it durable, and be there. */
  finish(): void {
    try {
      if (this.#beside !== undefined) fsyncSync(this.#fd);
      this.#close();
      if (this.#beside !== undefined) renameSync(this.#beside, this.#path);
    } catch (error) {
      throw hostError(error, "write", this.#path);
    }
  }

  /** Takes away what is not complete. Nothing after `finish`. */
  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#close();
    if (this.#beside !== undefined) unlinkSync(this.#beside);
  }

  #close(): void {
    this.#isOpen = false;
    closeSync(this.#fd);
  }
}

function isSpecial(path: string): boolean {
  try {
    return !statSync(path).isFile();
  } catch {
    return false;
  }
}
