import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Why filesystems can't be made and mounted here; `undefined` when they can. */
export function whyNoKernel(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs root on Linux";
  try {
    execFileSync("modprobe", ["btrfs"], { stdio: "ignore" });
  } catch {
    // Built in, or no modules: mkfs and mount will tell.
  }
  try {
    execFileSync("mkfs.btrfs", ["--version"], { stdio: "ignore" });
    return undefined;
  } catch {
    return "needs mkfs.btrfs";
  }
}

export interface ImageRequest {
  readonly devices: number;
  /** Of each device. */
  readonly sizeBytes?: number;
  /** For mkfs.btrfs, beside the devices. */
  readonly mkfs: readonly string[];
  /** `mount -o`. */
  readonly mount?: string;
  /** Fills the mounted filesystem. */
  fill?(directory: string): void;
}

/** Images of one filesystem, made by mkfs.btrfs and filled by the kernel. */
export class Images {
  readonly directory = mkdtempSync(join(tmpdir(), "btrkit-volume-"));
  readonly paths: string[];
  #loops: string[] = [];
  #mount: string | undefined;

  constructor(request: ImageRequest) {
    this.paths = Array.from({ length: request.devices }, (_, index) => {
      const path = join(this.directory, `device-${index + 1}`);
      writeFileSync(path, "");
      truncateSync(path, request.sizeBytes ?? 256 * 1024 * 1024);
      return path;
    });
    try {
      execFileSync("mkfs.btrfs", ["-q", "-f", ...request.mkfs, ...this.paths], { stdio: "pipe" });
      const mount = this.mount(request.mount);
      request.fill?.(mount);
      this.unmount();
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** Attaches loop devices and mounts the first; gives back the directory. */
  mount(options = "noatime"): string {
    const mount = join(this.directory, "mount");
    mkdirSync(mount, { recursive: true });
    for (const path of this.paths) {
      this.#loops.push(execFileSync("losetup", ["-f", "--show", path], { encoding: "utf8" }).trim());
    }
    execFileSync("btrfs", ["device", "scan", ...this.#loops], { stdio: "pipe" });
    execFileSync("mount", ["-o", options, this.#loops[0]!, mount], { stdio: "pipe" });
    this.#mount = mount;
    return mount;
  }

  unmount(): void {
    if (this.#mount !== undefined) execFileSync("umount", [this.#mount]);
    this.#mount = undefined;
    for (const loop of this.#loops) {
      execFileSync("btrfs", ["device", "scan", "--forget", loop], { stdio: "ignore" });
      execFileSync("losetup", ["-d", loop]);
    }
    this.#loops = [];
  }

  /** Adds a device to the filesystem, which is mounted meanwhile: to grow, or to grow on a seed. */
  grow(fill: (directory: string) => void): void {
    const path = join(this.directory, `device-${this.paths.length + 1}`);
    writeFileSync(path, "");
    truncateSync(path, statSync(this.paths[0]!).size);
    const mount = this.mount();
    const loop = execFileSync("losetup", ["-f", "--show", path], { encoding: "utf8" }).trim();
    this.#loops.push(loop);
    execFileSync("btrfs", ["device", "add", "-f", loop, mount], { stdio: "pipe" });
    execFileSync("mount", ["-o", "remount,rw", mount], { stdio: "pipe" });
    fill(mount);
    this.unmount();
    this.paths.push(path);
  }

  get loops(): readonly string[] {
    return this.#loops;
  }

  remove(): void {
    try {
      this.unmount();
    } finally {
      rmSync(this.directory, { recursive: true, force: true });
    }
  }
}

/** Bytes that do not repeat, the same for each seed. */
export function noise(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    words[index] = state;
  }
  return new Uint8Array(words.buffer, 0, length);
}

/** Length of the one file that can be compressed: whole extents of 128 KiB, so that none of it is not. */
export const TEXT_BYTES = 8 * 131_072;

/** Files in all shapes that matter below the file level; returns inode number and content of those to compare. */
export function fillWithFiles(directory: string): Map<bigint, Uint8Array> {
  const contents = new Map<bigint, Uint8Array>();
  const put = (name: string, data: Uint8Array): void => {
    const path = join(directory, name);
    writeFileSync(path, data, { flush: true });
    contents.set(BigInt(statSync(path).ino), data);
  };
  put("large", noise(5 * 1024 * 1024 + 12345, 1));
  for (let index = 0; index < 12; index++) put(`middle-${index}`, noise(100_000 + index * 4567, index + 2));
  put("text", new TextEncoder().encode("all work and no play ".repeat(TEXT_BYTES / 20)).slice(0, TEXT_BYTES));
  const unchecked = join(directory, "unchecked");
  mkdirSync(unchecked);
  execFileSync("chattr", ["+C", unchecked]);
  put("unchecked/large", noise(700_000, 99));
  mkdirSync(join(directory, "small"));
  for (let index = 0; index < 800; index++) writeFileSync(join(directory, "small", `file-${index}`), noise(300, index));
  return contents;
}
