import { displayName, textOf } from "../bytes/display.ts";
import type { Inode, InodeKind, InodeStat } from "../fs/inode.ts";
import { jsonNumber } from "./described.ts";
import { formatMinute, timeParts } from "./times.ts";

const KIND_LETTERS: Readonly<Record<InodeKind, string>> = {
  file: "-",
  directory: "d",
  symlink: "l",
  char: "c",
  block: "b",
  fifo: "p",
  socket: "s",
};

/** `drwxr-sr-x`. */
export function modeText(kind: InodeKind, mode: number): string {
  const triple = (shift: number, special: string): string => {
    const bits = mode >> shift;
    // setuid is bit 11, setgid 10, sticky 9: in the order of the triples.
    const isSpecial = (mode & (0o1000 << (shift / 3))) !== 0;
    const executes = (bits & 1) !== 0;
    const last = isSpecial ? (executes ? special : special.toUpperCase()) : executes ? "x" : "-";
    return `${bits & 4 ? "r" : "-"}${bits & 2 ? "w" : "-"}${last}`;
  };
  return `${KIND_LETTERS[kind]}${triple(6, "s")}${triple(3, "s")}${triple(0, "t")}`;
}

/** One line of `ls --long`, up to the name. */
export function longText({ kind, mode, nlink, uid, gid, size, rdev, mtime }: InodeStat): string {
  const bytes = rdev === undefined ? String(size) : `${rdev.major},${rdev.minor}`;
  const owner = `${String(uid).padStart(5)} ${String(gid).padStart(5)}`;
  return `${modeText(kind, mode)} ${String(nlink).padStart(3)} ${owner} ${bytes.padStart(12)} ${formatMinute(mtime)}`;
}

/** Fields of an inode item for JSON; those that can pass 2^53 are text where they do. */
export function statJson(inode: Inode): Record<string, unknown> {
  const { stat, number, subvolume } = inode;
  const time = (value: bigint) => {
    const { sec, nsec } = timeParts(value);
    return { sec: jsonNumber(sec), nsec };
  };
  return {
    type: stat.kind,
    inode: jsonNumber(number),
    subvolume: jsonNumber(subvolume.id),
    mode: stat.mode,
    nlink: stat.nlink,
    uid: stat.uid,
    gid: stat.gid,
    rdev: stat.rdev ?? null,
    size: jsonNumber(stat.size),
    nbytes: jsonNumber(stat.nbytes),
    flags: jsonNumber(stat.flags),
    generation: jsonNumber(stat.generation),
    transid: jsonNumber(stat.transid),
    sequence: jsonNumber(stat.sequence),
    atime: time(stat.atime),
    ctime: time(stat.ctime),
    mtime: time(stat.mtime),
    otime: time(stat.otime),
  };
}

/** As `statJson`, and the target of a symlink. */
export async function inodeJson(inode: Inode): Promise<Record<string, unknown>> {
  if (inode.kind !== "symlink") return statJson(inode);
  return { ...statJson(inode), ...bytesJson("target", await inode.readSymlink()) };
}

/** Bytes as text under `name`, and as `name_b64` where they are not UTF-8. */
export function bytesJson(name: string, bytes: Uint8Array): Record<string, string> {
  const text = textOf(bytes);
  if (text !== undefined) return { [name]: text };
  return { [name]: displayName(bytes), [`${name}_b64`]: Buffer.from(bytes).toString("base64") };
}

/** A path of this machine, as it was named. */
export function hostPathJson(path: Uint8Array): Record<string, string> {
  return bytesJson("path", path);
}

/** A path from the top of the filesystem, as JSON; with a slash before it. */
export function pathJson(path: Uint8Array): Record<string, string> {
  const whole = new Uint8Array(path.byteLength + 1);
  whole[0] = 0x2f;
  whole.set(path, 1);
  return bytesJson("path", whole);
}
