import { readdirSync, readFileSync, type Stats, statSync } from "node:fs";
import { deviceNumber } from "./block-device.ts";

/**
 * Who uses an image file or a block device, in words; `undefined` when nobody is seen to.
 *
 * Looks for mounts of the device and its partitions, for btrfs filesystems with several devices, of which mount tables
 * name only one, for device-mapper and RAID on top, and for all of these through loop devices. Linux only: elsewhere
 * nobody is seen.
 */
export function findUse(path: string): string | undefined {
  const stat = attempt(() => statSync(path));
  if (stat === undefined) return undefined;
  if (stat.isBlockDevice()) return findBlockUse(blockName(stat.rdev));
  for (const loop of loopsOver(stat)) {
    const use = findBlockUse(loop);
    if (use !== undefined) return `it is behind /dev/${loop}, and ${use}`;
  }
  return undefined;
}

/** Loop devices that have this file as their backing file. */
function loopsOver(file: Stats): string[] {
  return list("/sys/block").filter((name) => {
    if (!name.startsWith("loop")) return false;
    const backing = attempt(() => readFileSync(`/sys/block/${name}/loop/backing_file`, "utf8").replace(/\n$/, ""));
    if (backing === undefined) return false;
    const stat = attempt(() => statSync(backing));
    return stat !== undefined && stat.dev === file.dev && stat.ino === file.ino;
  });
}

/** Name of a block device in sysfs, as `loop0` or `sda1`. */
function blockName(rdev: number): string | undefined {
  const uevent = attempt(() => readFileSync(`/sys/dev/block/${deviceNumber(rdev)}/uevent`, "utf8"));
  return uevent?.match(/^DEVNAME=(.+)$/m)?.[1]?.replaceAll("/", "!");
}

function findBlockUse(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  const sys = `/sys/class/block/${name}`;
  const partitions = list(sys).filter((entry) => attempt(() => statSync(`${sys}/${entry}/partition`)) !== undefined);
  for (const device of [name, ...partitions]) {
    const mount = findMount(device);
    if (mount !== undefined) return `/dev/${device} is mounted on ${mount}`;
    const filesystem = list("/sys/fs/btrfs").find((fsid) => list(`/sys/fs/btrfs/${fsid}/devices`).includes(device));
    if (filesystem !== undefined) return `/dev/${device} is part of the mounted filesystem ${filesystem}`;
    const holder = list(`/sys/class/block/${device}/holders`)[0];
    if (holder !== undefined) return `/dev/${device} is part of /dev/${holder}`;
  }
  return undefined;
}

/** Where a device is mounted, from its number or its name: btrfs mounts have a number of their own. */
function findMount(device: string): string | undefined {
  const number = attempt(() => readFileSync(`/sys/class/block/${device}/dev`, "utf8").trim());
  const table = attempt(() => readFileSync("/proc/self/mountinfo", "utf8")) ?? "";
  for (const line of table.split("\n")) {
    const [front, back] = line.split(" - ");
    const [, , own, , point] = (front ?? "").split(" ");
    const source = unescapeOctal((back ?? "").split(" ")[1] ?? "");
    const sameSource = source.startsWith("/") && number !== undefined && numberOf(source) === number;
    if (point !== undefined && ((number !== undefined && own === number) || sameSource)) return unescapeOctal(point);
  }
  return undefined;
}

function numberOf(path: string): string | undefined {
  const stat = attempt(() => statSync(path));
  return stat?.isBlockDevice() ? deviceNumber(stat.rdev) : undefined;
}

/** Mount tables write blanks and backslashes in octal. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

function list(directory: string): string[] {
  return attempt(() => readdirSync(directory)) ?? [];
}

function attempt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
