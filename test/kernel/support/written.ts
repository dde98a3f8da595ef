import { join } from "node:path";
import { expect } from "vitest";
import type { ByteStore } from "../../../src/device/source.ts";
import { openFileDevice } from "../../../src/node/file-device.ts";
import { makeWorkDirectory, removeWorkDirectory } from "./cleanup.ts";
import { checkImage, makeSparse, TestFilesystem } from "./filesystem.ts";
import { run, tryRun } from "./run.ts";

export type CheckMode = "original" | "lowmem";

/** Image files in a place of their own, for btrkit to write and the kernel and btrfs-progs to judge. */
export class WrittenImage implements AsyncDisposable {
  readonly work = makeWorkDirectory();
  /** One for each device. */
  readonly paths: readonly string[];

  /** @param sizeMiB Of each device. */
  constructor(sizeMiB: number, devices = 1) {
    this.paths = Array.from({ length: devices }, (_, index) =>
      join(this.work, devices === 1 ? "image" : `image-${index + 1}`),
    );
    for (const path of this.paths) makeSparse(path, Math.round(sizeMiB * 1_048_576));
  }

  get path(): string {
    return this.paths[0]!;
  }

  /** Opens the image for writing while `use` runs. */
  async open<T>(use: (store: ByteStore) => Promise<T>): Promise<T> {
    return this.openAll(([store]) => use(store!));
  }

  /** Opens all devices for writing while `use` runs. */
  async openAll<T>(use: (stores: readonly ByteStore[]) => Promise<T>): Promise<T> {
    const stores: ByteStore[] = [];
    try {
      for (const path of this.paths) stores.push(await openFileDevice(path, { writable: true }));
      return await use(stores);
    } finally {
      for (const store of stores) await store.close?.();
    }
  }

  /** `mkfs.btrfs` with these options, on all devices. */
  async make(options: readonly string[]): Promise<void> {
    await run("mkfs.btrfs", ["-q", "-f", ...options, ...this.paths]);
  }

  /** `btrfs check` finds nothing, in both of its modes unless one is named, data checksums included. */
  async check(modes: readonly CheckMode[] = ["original", "lowmem"]): Promise<void> {
    if (this.paths.length === 1) return checkClean(this.path, modes);
    const loops: string[] = [];
    try {
      for (const path of this.paths)
        loops.push((await run("losetup", ["--find", "--show", path])).stdout.toString().trim());
      await run("btrfs", ["device", "scan", ...loops]);
      await checkClean(loops[0]!, modes);
    } finally {
      for (const loop of loops) {
        await tryRun("btrfs", ["device", "scan", "--forget", loop]);
        await tryRun("losetup", ["-d", loop]);
      }
    }
  }

  /**
   * The kernel mounts the image for writing, its top level; unmounted when `use` is done, with nothing to say for scrub.
   *
   * @param options Of mount.
   */
  async mounted<T>(use: (directory: string) => Promise<T>, options?: string): Promise<T> {
    const mount = options === undefined ? "subvolid=5" : `subvolid=5,${options}`;
    const filesystem = await TestFilesystem.make({ images: this.paths, mount });
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

export async function checkClean(image: string, modes: readonly CheckMode[] = ["original", "lowmem"]): Promise<void> {
  for (const mode of modes) {
    const ran = await checkImage(image, [`--mode=${mode}`]);
    // With several devices all block devices are looked at, others' failing ones too.
    const said = `${ran.stdout}${ran.stderr}`.replace(/^ERROR: cannot scan .*$/gm, "");
    if (mode === "lowmem" && (await isLowmemsOwn(image, said))) continue;
    if (ran.code !== 0 || /error|mismatch|warning/i.test(said.replace(/no error found/g, ""))) {
      expect.fail(`btrfs check --mode=${mode}: exit code ${ran.code}\n${said}`);
    }
  }
}

/**
 * Lowmem of btrfs-progs 6.2 ends so, and names nothing, also where Linux itself made the extended references: 60 hard
 * links of one file with names of 240 bytes in 4K nodes do. What is really damaged it names first.
 */
async function isLowmemsOwn(image: string, said: string): Promise<boolean> {
  const complaints = said.match(/^(?:ERROR|WARNING).*$/gm) ?? [];
  if (complaints.length !== 1 || complaints[0] !== "ERROR: errors found in fs roots") return false;
  const trees = (await tryRun("btrfs", ["inspect-internal", "dump-tree", image])).stdout;
  return trees.includes(" INODE_EXTREF ");
}
