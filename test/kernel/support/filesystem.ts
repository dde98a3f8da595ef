import { closeSync, mkdirSync, openSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { makeWorkDirectory, removeWorkDirectory } from "./cleanup.ts";
import { type Ran, run, tryRun } from "./run.ts";

export interface FilesystemOptions {
  /** Images, each on a loop device. 1 by default. */
  readonly devices?: number;
  /** Of each image, in MiB. 256 by default; the images are sparse. */
  readonly sizeMiB?: number;
  /** Options of mkfs.btrfs. */
  readonly mkfs?: readonly string[];
  /** Options of mount, after `noatime`. */
  readonly mount?: string;
  /** Images that exist already, by path: nothing is made, they are only attached. */
  readonly images?: readonly string[];
}

/**
 * A btrfs of its own for one test, on loop devices. Made mounted; `unmount` gives the bare images, `mount` the mount
 * again. `await using` takes all of it away, and so does the end of the process.
 */
export class TestFilesystem implements AsyncDisposable {
  /** The image files; complete when unmounted. */
  readonly images: readonly string[];
  /** Where it is mounted, or will be. */
  readonly directory: string;
  /** A place beside the images, for streams and the like. */
  readonly work: string;
  readonly #options: FilesystemOptions;
  #loops: string[] = [];

  private constructor(work: string, images: readonly string[], options: FilesystemOptions) {
    this.work = work;
    this.images = images;
    this.directory = join(work, "mount");
    this.#options = options;
  }

  static async make(options: FilesystemOptions = {}): Promise<TestFilesystem> {
    const work = makeWorkDirectory();
    try {
      const { devices = 1, sizeMiB = 256 } = options;
      const images = options.images ?? Array.from({ length: devices }, (_, index) => join(work, `image-${index + 1}`));
      const filesystem = new TestFilesystem(work, images, options);
      mkdirSync(filesystem.directory);
      if (options.images === undefined) {
        for (const image of images) makeSparse(image, sizeMiB * 1_048_576);
        await run("mkfs.btrfs", ["-q", "-f", ...(options.mkfs ?? []), ...images]);
      }
      await filesystem.mount();
      return filesystem;
    } catch (error) {
      removeWorkDirectory(work);
      throw error;
    }
  }

  /** The loop devices while attached, in the order of the images. */
  get devices(): readonly string[] {
    return this.#loops;
  }

  get isMounted(): boolean {
    return this.#loops.length > 0;
  }

  /** Attaches and mounts; `options` instead of those it was made with. */
  async mount(options = this.#options.mount): Promise<void> {
    for (const image of this.images) {
      this.#loops.push((await run("losetup", ["--find", "--show", image])).stdout.toString().trim());
    }
    const all = ["noatime", ...this.#loops.map((loop) => `device=${loop}`), ...(options ? [options] : [])];
    await run("mount", ["-t", "btrfs", "-o", all.join(","), this.#loops[0]!, this.directory]);
  }

  /** Of a name in it. */
  path(name: string): string {
    return join(this.directory, name);
  }

  /** Forgets everything in memory: the kernel answers from the items alone afterwards. */
  async renew(): Promise<void> {
    await this.unmount();
    await this.mount();
  }

  async remount(options: string): Promise<void> {
    await run("mount", ["-o", `remount,${options}`, this.directory]);
  }

  /** Unmounts and detaches: from here on the images can be opened, changed, and mounted again. */
  async unmount(): Promise<void> {
    await run("umount", [this.directory]);
    for (const loop of this.#loops) {
      await tryRun("btrfs", ["device", "scan", "--forget", loop]);
      await run("losetup", ["-d", loop]);
    }
    this.#loops = [];
  }

  /** `btrfs check --check-data-csum`; only when unmounted. Extra options as `["--mode=lowmem"]`. */
  async check(options: readonly string[] = []): Promise<Ran> {
    if (this.images.length === 1) return checkImage(this.images[0]!, options);
    const loops: string[] = [];
    try {
      for (const image of this.images) {
        loops.push((await run("losetup", ["--find", "--show", image])).stdout.toString().trim());
      }
      await run("btrfs", ["device", "scan", ...loops]);
      return await checkImage(loops[0]!, options);
    } finally {
      for (const loop of loops) {
        await tryRun("btrfs", ["device", "scan", "--forget", loop]);
        await tryRun("losetup", ["-d", loop]);
      }
    }
  }

  /** `btrfs scrub`, to its end; code 0 where nothing was found. */
  async scrub(): Promise<Ran> {
    return tryRun("btrfs", ["scrub", "start", "-B", this.directory]);
  }

  /** Commits this filesystem, and no other. */
  async sync(): Promise<void> {
    await run("btrfs", ["filesystem", "sync", this.directory]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    removeWorkDirectory(this.work);
  }
}

/** A file of `size` bytes that are all holes. */
export function makeSparse(path: string, size: number): void {
  closeSync(openSync(path, "wx"));
  truncateSync(path, size);
}

/** So often is asked whether a device is really missing. */
const CHECKS = 4;

/**
 * `btrfs check --check-data-csum` of an image or device. Code 0 is clean.
 *
 * It looks for a filesystem's other devices on every block device of the machine, and can pass over them while those of
 * other tests come and go: where it misses one, it is asked again.
 */
export async function checkImage(image: string, options: readonly string[] = []): Promise<Ran> {
  for (let left = CHECKS; ; left--) {
    const ran = await tryRun("btrfs", ["check", "--check-data-csum", ...options, image]);
    const isMissing = /is missing|cannot read chunk root/.test(`${ran.stdout}${ran.stderr}`);
    if (!isMissing || left === 1) return ran;
    await setTimeout(500);
  }
}
