import * as fs from "node:fs";
import { toSafe } from "../bytes/u64.ts";
import type { SourceFile, SourceStat, SourceTime, TreeSource } from "../mkfs/source.ts";
import { hostError } from "./host-error.ts";

const { O_NOFOLLOW = 0, O_NONBLOCK = 0, O_RDONLY } = fs.constants;
const BILLION = 1_000_000_000n;
const SLASH = Buffer.from("/");

/** A directory of this host by Node's own means: they know nothing of extended attributes, and of holes. */
export class NodeTreeSource implements TreeSource {
  readonly #root: Buffer;

  constructor(root: string) {
    this.#root = Buffer.from(root);
  }

  list(path: Uint8Array): Uint8Array[] {
    return this.#try("list", path, (whole) => fs.readdirSync(whole, { encoding: "buffer" }));
  }

  stat(path: Uint8Array): SourceStat {
    const stat = path.byteLength === 0 ? fs.statSync : fs.lstatSync;
    return statOf(this.#try("read attributes of", path, (whole) => stat(whole, { bigint: true })));
  }

  readLink(path: Uint8Array): Uint8Array {
    return this.#try("read link", path, (whole) => fs.readlinkSync(whole, { encoding: "buffer" }));
  }

  xattrs(): [] {
    return [];
  }

  open(path: Uint8Array): SourceFile {
    const fd = this.#try("open", path, (whole) => fs.openSync(whole, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    const attempt = <T>(action: string, act: () => T): T => this.#try(action, path, act);
    return {
      stat: () => statOf(attempt("read attributes of", () => fs.fstatSync(fd, { bigint: true }))),
      xattrs: () => [],
      read: (at, target) => attempt("read", () => fs.readSync(fd, target, 0, target.byteLength, at)),
      close: () => attempt("close", () => fs.closeSync(fd)),
    };
  }

  #try<T>(action: string, path: Uint8Array, act: (whole: Buffer) => T): T {
    const whole = path.byteLength === 0 ? this.#root : Buffer.concat([this.#root, SLASH, path]);
    try {
      return act(whole);
    } catch (error) {
      throw hostError(error, action, whole.toString());
    }
  }
}

function statOf(found: fs.BigIntStats): SourceStat {
  const device = Number(found.rdev);
  return {
    mode: Number(found.mode),
    uid: Number(found.uid),
    gid: Number(found.gid),
    size: toSafe(found.size, "length of a file"),
    nlink: Number(found.nlink),
    device: found.dev,
    inode: found.ino,
    // As glibc packs them.
    major: Math.floor(device / 256) & 0xfff,
    minor: (device & 0xff) | ((Math.floor(device / 0x1000) & 0xffff_ff00) >>> 0),
    atime: timeOf(found.atimeNs),
    mtime: timeOf(found.mtimeNs),
    ctime: timeOf(found.ctimeNs),
    otime: found.birthtimeNs === 0n ? undefined : timeOf(found.birthtimeNs),
  };
}

function timeOf(nanoseconds: bigint): SourceTime {
  const nsec = ((nanoseconds % BILLION) + BILLION) % BILLION;
  return { sec: Number((nanoseconds - nsec) / BILLION), nsec: Number(nsec) };
}
