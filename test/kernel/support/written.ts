import { join } from "node:path";
import { expect } from "vitest";
import type { ByteStore } from "../../../src/device/source.ts";
import { openFileDevice } from "../../../src/node/file-device.ts";
import { makeWorkDirectory, removeWorkDirectory } from "./cleanup.ts";
import { makeSparse, TestFilesystem } from "./filesystem.ts";
import { tryRun } from "./run.ts";

/** An image file in a place of its own, for btrkit to write and the kernel and btrfs-progs to judge. */
export class WrittenImage implements AsyncDisposable {
  readonly work = makeWorkDirectory();
  readonly path = join(this.work, "image");

  constructor(sizeMiB: number) {
    makeSparse(this.path, Math.round(sizeMiB * 1_048_576));
  }

  /** Opens the image for writing while `use` runs. */
  async open<T>(use: (store: ByteStore) => Promise<T>): Promise<T> {
    const store = await openFileDevice(this.path, { writable: true });
    try {
      return await use(store);
    } finally {
      await store.close?.();
    }
  }

  /** `btrfs check` finds nothing, in both of its modes, data checksums included. */
  check(): Promise<void> {
    return checkClean(this.path);
  }

  /** The kernel mounts the image for writing; unmounted when `use` is done, with nothing to say for scrub. */
  async mounted<T>(use: (directory: string) => Promise<T>): Promise<T> {
    const filesystem = await TestFilesystem.make({ images: [this.path] });
    try {
      const result = await use(filesystem.directory);
      await filesystem.sync();
      const scrub = await filesystem.scrub();
      expect(`${scrub.stdout}${scrub.stderr}`).toContain("no errors found");
      return result;
    } finally {
      await filesystem.unmount();
      await filesystem[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    removeWorkDirectory(this.work);
  }
}

export async function checkClean(image: string): Promise<void> {
  for (const mode of ["original", "lowmem"]) {
    const ran = await tryRun("btrfs", ["check", "--check-data-csum", `--mode=${mode}`, image]);
    const said = `${ran.stdout}${ran.stderr}`;
    if (ran.code !== 0 || /error|mismatch|warning/i.test(said.replace(/no error found/g, ""))) {
      expect.fail(`btrfs check --mode=${mode}: exit code ${ran.code}\n${said}`);
    }
  }
}
