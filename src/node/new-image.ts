import * as fs from "node:fs";
import type { ByteStore } from "../device/source.ts";
import { BtrfsError } from "../errors.ts";
import { openFileDevice } from "./file-device.ts";
import { hostError } from "./host-error.ts";

/** An image file that appears under its name when it is complete; until then it lies beside it. */
export class NewImage implements AsyncDisposable {
  readonly store: ByteStore;
  readonly #path: string;
  readonly #beside: string;
  #isDone = false;

  private constructor(store: ByteStore, path: string, beside: string) {
    this.store = store;
    this.#path = path;
    this.#beside = beside;
  }

  /** @throws {BtrfsError} `exists` when there is something of this name; what the host refused. */
  static async create(path: string): Promise<NewImage> {
    const beside = `${path}.partial-${process.pid}`;
    if (fs.existsSync(path)) throw taken(path);
    try {
      fs.closeSync(fs.openSync(beside, "wx", 0o600));
    } catch (error) {
      throw hostError(error, "create", path);
    }
    return new NewImage(await openFileDevice(beside, { writable: true }), path, beside);
  }

  /** Gives it its name; what is in it has been flushed before. */
  async finish(): Promise<void> {
    await this.store.close?.();
    try {
      // A link, unlike a rename, takes no other file's place.
      fs.linkSync(this.#beside, this.#path);
      fs.unlinkSync(this.#beside);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") throw taken(this.#path);
      if (!fs.existsSync(this.#beside)) throw hostError(error, "create", this.#path);
      // Not every filesystem has links.
      this.#rename();
    }
    this.#isDone = true;
  }

  /** Takes away what is not complete. Nothing after `finish`. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isDone) return;
    await this.store.close?.();
    fs.rmSync(this.#beside, { force: true });
  }

  #rename(): void {
    if (fs.existsSync(this.#path)) throw taken(this.#path);
    try {
      fs.renameSync(this.#beside, this.#path);
    } catch (error) {
      throw hostError(error, "create", this.#path);
    }
  }
}

function taken(path: string): BtrfsError {
  return new BtrfsError("exists", "Cannot create image: there is something of this name", { where: { file: path } });
}
