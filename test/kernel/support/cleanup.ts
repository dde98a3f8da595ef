import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

// What the tests put on the machine (mounts, loop devices, files) lies under one directory that names this process. It
// goes when its owner is done with it, when the process ends, and, should the process be killed, at the next start.

const PREFIX = "btrkit-kernel-";
const base = process.env.BTRKIT_TEST_TMP ?? tmpdir();
const made = new Set<string>();

/** A new directory, with room for images (BTRKIT_TEST_TMP says where). Give it back with `removeWorkDirectory`. */
export function makeWorkDirectory(): string {
  if (made.size === 0) prepare();
  const directory = mkdtempSync(join(base, `${PREFIX}${process.pid}-`));
  made.add(directory);
  return directory;
}

/** Unmounts, detaches and deletes all that lies in a work directory. */
export function removeWorkDirectory(directory: string): void {
  for (const mount of mountsBelow(directory)) {
    if (spawnSync("umount", [mount]).status !== 0) spawnSync("umount", ["-l", mount]);
  }
  const loops = loopsBelow(directory);
  for (const loop of loops) {
    // Else the kernel goes on knowing the device as part of a filesystem that is no more.
    spawnSync("btrfs", ["device", "scan", "--forget", loop]);
    spawnSync("losetup", ["-d", loop]);
  }
  rmSync(directory, { recursive: true, force: true });
  made.delete(directory);
}

let prepared = false;

function prepare(): void {
  if (prepared) return;
  prepared = true;
  for (const name of readdirSync(base)) {
    const owner = name.startsWith(PREFIX) ? Number.parseInt(name.slice(PREFIX.length), 10) : Number.NaN;
    if (owner > 0 && !isRunning(owner)) removeWorkDirectory(join(base, name));
  }
  process.on("exit", removeAll);
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const) {
    process.on(signal, () => {
      removeAll();
      process.exit(code);
    });
  }
}

function removeAll(): void {
  for (const directory of [...made]) removeWorkDirectory(directory);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Innermost first. */
function mountsBelow(directory: string): string[] {
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((mount) => mount.startsWith(`${directory}/`))
    .reverse();
}

function loopsBelow(directory: string): string[] {
  const { stdout } = spawnSync("losetup", ["--list", "--noheadings", "--output", "NAME,BACK-FILE"], {
    encoding: "utf8",
  });
  return (stdout ?? "")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, file]) => file?.startsWith(`${directory}/`))
    .map(([name]) => name!);
}
