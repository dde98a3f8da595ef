import { execFileSync } from "node:child_process";
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Why no btrfs can be mounted here, or undefined where one can. */
export function whyNoBtrfs(): string | undefined {
  if (process.platform !== "linux") return "not Linux";
  if (process.getuid?.() !== 0) return "not root";
  if (!/\bbtrfs$/m.test(readFileSync("/proc/filesystems", "latin1"))) return "the kernel has no btrfs";
  const found = ["/sbin", "/usr/sbin", "/bin", "/usr/bin"].some((folder) => isExecutable(join(folder, "mkfs.btrfs")));
  return found ? undefined : "mkfs.btrfs is missing";
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 28 });
}

/** A fresh btrfs on a loop device of its own. Close it, also when a test fails. */
export class ScratchBtrfs {
  readonly folder: string;
  readonly image: string;
  readonly mount: string;
  #mounted = false;

  constructor(options: { bytes?: number; mkfs?: readonly string[]; mount?: string } = {}) {
    this.folder = mkdtempSync(join(tmpdir(), "btrkit-scratch-"));
    this.image = join(this.folder, "image");
    this.mount = join(this.folder, "mnt");
    mkdirSync(this.mount);
    writeFileSync(this.image, "");
    truncateSync(this.image, options.bytes ?? 512 << 20);
    try {
      run("mkfs.btrfs", "-q", ...(options.mkfs ?? []), this.image);
      this.attach(options.mount);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  attach(options = ""): void {
    // The loop device goes away with the mount.
    run("mount", "-o", ["loop", options].filter((part) => part !== "").join(","), this.image, this.mount);
    this.#mounted = true;
  }

  detach(): void {
    if (this.#mounted) run("umount", this.mount);
    this.#mounted = false;
  }

  /** Forgets everything in memory: the kernel answers from the items alone afterwards. */
  remount(options = ""): void {
    this.detach();
    this.attach(options);
  }

  path(name: string): string {
    return join(this.mount, name);
  }

  close(): void {
    this.detach();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
