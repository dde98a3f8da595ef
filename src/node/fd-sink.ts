import { fstatSync, write as writeCallback, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { hostError } from "./host-error.ts";

/** Major 1, minor 3. */
const DEV_NULL = 0x103;

/** Writes in order to an open descriptor: file, pipe, socket or device. */
export class FdSink {
  readonly #fd: number;
  readonly #name: string;
  /** What can't keep us waiting for another process is written on the spot: a thread would cost more than the copy. */
  #isPrompt: boolean | undefined;

  constructor(fd: number, name: string) {
    this.#fd = fd;
    this.#name = name;
  }

  /**
   * Resolves when all bytes are with the host; they may be reused then. One call at a time.
   *
   * @throws {BtrfsError} what the host refused; a broken pipe as Node's own error.
   */
  async write(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (at < bytes.byteLength) {
      try {
        this.#isPrompt ??= isPrompt(this.#fd);
        at += this.#isPrompt ? writeSync(this.#fd, bytes, at) : await writeSome(this.#fd, bytes, at);
      } catch (error) {
        // Someone else made our end non-blocking, and the reader is slow.
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw hostError(error, "write", this.#name);
        await sleep(2);
      }
    }
  }
}

function isPrompt(fd: number): boolean {
  const stat = fstatSync(fd);
  return stat.isFile() || (stat.isCharacterDevice() && stat.rdev === DEV_NULL);
}

function writeSome(fd: number, bytes: Uint8Array, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    writeCallback(fd, bytes, at, bytes.byteLength - at, null, (error, written) => {
      if (error) reject(error);
      else resolve(written);
    });
  });
}
