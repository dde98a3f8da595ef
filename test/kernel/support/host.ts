import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { describe } from "vitest";

/** Why kernel tests can't run here, in words for a person; `undefined` where they can. */
export function whyNoKernel(): string | undefined {
  if (process.platform !== "linux") return `this is ${process.platform}, not Linux`;
  if (process.getuid?.() !== 0) return "mounting needs root";
  if (!hasBtrfs()) return "this kernel has no btrfs";
  if (!existsSync("/dev/loop-control")) return "there are no loop devices";
  const missing = ["btrfs", "mkfs.btrfs", "losetup", "mount", "python3"].filter((tool) => !hasTool(tool));
  return missing.length > 0 ? `missing: ${missing.join(", ")}` : undefined;
}

/** `describe` for what needs root and btrfs. Where that is missing, the suite is skipped and its title says why. */
export function describeKernel(title: string, body: () => void): void {
  const reason = whyNoKernel();
  if (reason === undefined) return void describe(title, body);
  process.stderr.write(`skipped: ${title}: ${reason}\n`);
  describe.skip(`${title} (skipped: ${reason})`, body);
}

/** Version of the installed btrfs-progs, as "6.2". Messages and dumps are compared with 6.2 only. */
export function progsVersion(): string | undefined {
  const ran = spawnSync("btrfs", ["--version"], { encoding: "utf8" });
  return /v(\d+(?:\.\d+)*)/.exec(ran.stdout ?? "")?.[1];
}

export function hasTool(name: string): boolean {
  const places = (process.env.PATH ?? "").split(":");
  return places.some((place) => existsSync(`${place}/${name}`));
}

function hasBtrfs(): boolean {
  const isListed = (): boolean => /\bbtrfs$/m.test(readFileSync("/proc/filesystems", "utf8"));
  if (!isListed()) spawnSync("modprobe", ["btrfs"]);
  return isListed();
}
