import { write as writeCallback } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { hostError } from "./host-error.ts";

/** Writes in order to an open descriptor: file, pipe, socket or device. */
export class FdSink {
  readonly #fd: number;
  readonly #name: string;

  constructor(fd: number, name: string) {
    this.#fd = fd;
    this.#name = name;
  }

  /**
   * Resolves when all bytes are with the host; they may be reused then. One call at a time.
   *
   * @throws {BtrfsError} what the host refused; EPIPE as Node's own error.
   */
  async write(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (at < bytes.byteLength) {
      try {
        at += await writeSome(this.#fd, bytes, at);
      } catch (error) {
        // Someone else made our end non-blocking, and the reader is slow.
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw hostError(error, "write", this.#name);
        await sleep(2);
      }
    }
  }
}

function writeSome(fd: number, bytes: Uint8Array, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    writeCallback(fd, bytes, at, bytes.byteLength - at, null, (error, written) => {
      if (error) reject(error);
      else resolve(written);
    });
  });
}
