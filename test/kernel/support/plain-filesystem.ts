import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { makeWorkDirectory, removeWorkDirectory } from "./cleanup.ts";
import { makeSparse } from "./filesystem.ts";
import { run } from "./run.ts";

/** A filesystem of its own, of any kind. `await using` takes it away. */
export class PlainFilesystem implements AsyncDisposable {
  readonly directory: string;
  readonly #work: string;

  private constructor(work: string) {
    this.#work = work;
    this.directory = join(work, "plain");
  }

  static async make(kind: "tmpfs" | "ext4" | "btrfs", sizeMiB = 512): Promise<PlainFilesystem> {
    const filesystem = new PlainFilesystem(makeWorkDirectory());
    const { directory } = filesystem;
    try {
      mkdirSync(directory);
      if (kind === "tmpfs") await run("mount", ["-t", "tmpfs", "-o", `size=${sizeMiB}m`, "none", directory]);
      else {
        const image = join(filesystem.#work, "image");
        makeSparse(image, sizeMiB << 20);
        // Inodes of 1 KiB hold the attributes of histories.
        if (kind === "ext4") await run("mkfs.ext4", ["-q", "-F", "-I", "1024", image]);
        else await run("mkfs.btrfs", ["-q", image]);
        await run("mount", ["-o", "loop", image, directory]);
      }
      await run("chmod", ["0755", filesystem.#work]);
      await run("chmod", ["0777", directory]);
      return filesystem;
    } catch (error) {
      removeWorkDirectory(filesystem.#work);
      throw error;
    }
  }

  /** Gives a tmpfs another size. */
  async resize(sizeMiB: number): Promise<void> {
    await run("mount", ["-o", `remount,size=${sizeMiB}m`, this.directory]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    removeWorkDirectory(this.#work);
  }
}
