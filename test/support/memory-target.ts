import { createHash } from "node:crypto";
import { type FileCalls, type NodeKind, type RestoreTarget, TargetError } from "../../src/restore/target.ts";
import type { TreeEntry } from "../support.ts";

/** An inode in memory. */
class Node {
  readonly type: TreeEntry["type"];
  readonly entries = new Map<string, Node>();
  size = 0;
  /** What is not a hole, by number of block. */
  readonly blocks = new Map<number, Uint8Array>();
  readonly written: [number, number][] = [];
  target = "";
  rdev: readonly [number, number] | undefined;
  mode = 0;
  uid = -1;
  gid = -1;
  atime = 0n;
  mtime = 0n;
  readonly xattrs: Record<string, string> = {};
  /** What was done to it, in order. */
  readonly steps: string[] = [];

  constructor(type: TreeEntry["type"]) {
    this.type = type;
  }
}

export interface MemoryTargetOptions {
  /** Only what everybody may do: no owners, devices, xattrs. */
  readonly asAnybody?: boolean;
  readonly withoutXattrs?: boolean;
  /** Has no calls for plain files. */
  readonly withoutFileCalls?: boolean;
}

/** A directory that can hold everything, in memory, to be compared with what the kernel showed. */
export class MemoryTarget implements RestoreTarget {
  readonly sharesHandles = true;
  readonly root = new Node("dir");
  readonly fileCalls: FileCalls | undefined;
  /** Of files that came by `fileCalls`. */
  readonly plainNames: string[] = [];
  readonly #options: MemoryTargetOptions;
  readonly #handles = new Map<number, Node>();
  #nextHandle = 3;

  constructor(options: MemoryTargetOptions = {}) {
    this.#options = options;
    this.fileCalls = options.withoutFileCalls === true ? undefined : this.#makeFileCalls();
  }

  get openHandles(): number {
    return this.#handles.size;
  }

  openDirectory(path: Uint8Array): number {
    let node = this.root;
    for (const name of latin(path).split("/")) {
      if (name === "") continue;
      const next = node.entries.get(name);
      if (next?.type !== "dir") throw new TargetError("missing", "Cannot enter");
      node = next;
    }
    return this.#open(node);
  }

  enterDirectory(directory: number, name: Uint8Array): number {
    const node = this.#at(directory, name);
    if (node.type !== "dir") throw new TargetError("missing", "Cannot enter");
    return this.#open(node);
  }

  close(handle: number): void {
    if (!this.#handles.delete(handle)) throw new Error("closed twice");
  }

  has(directory: number, name: Uint8Array): boolean {
    return this.#at(directory).entries.has(latin(name));
  }

  makeDirectory(directory: number, name: Uint8Array): void {
    this.#add(directory, name, new Node("dir"));
  }

  createFile(directory: number, name: Uint8Array): number {
    return this.#open(this.#add(directory, name, new Node("file")));
  }

  openFile(directory: number, name: Uint8Array): number {
    return this.#open(this.#at(directory, name));
  }

  write(file: number, data: Uint8Array, offset: bigint): void {
    const node = this.#at(file);
    const start = Number(offset);
    const end = start + data.byteLength;
    for (let at = start; at < end; ) {
      const number = Math.floor(at / BLOCK);
      const block = node.blocks.get(number) ?? new Uint8Array(BLOCK);
      node.blocks.set(number, block);
      const next = Math.min(end, (number + 1) * BLOCK);
      block.set(data.subarray(at - start, next - start), at - number * BLOCK);
      at = next;
    }
    node.size = Math.max(node.size, end);
    node.written.push([start, end]);
    node.steps.push("write");
  }

  truncate(file: number, size: bigint): void {
    this.#at(file).size = Number(size);
  }

  makeSymlink(directory: number, name: Uint8Array, target: Uint8Array): void {
    this.#add(directory, name, new Node("symlink")).target = latin(target);
  }

  makeNode(
    directory: number,
    name: Uint8Array,
    kind: NodeKind,
    device: { readonly major: number; readonly minor: number } | undefined,
  ): boolean {
    if (this.#options.asAnybody && device !== undefined) return false;
    const node = this.#add(directory, name, new Node(kind));
    if (device !== undefined) node.rdev = [device.major, device.minor];
    return true;
  }

  link(fromDirectory: number, from: Uint8Array, directory: number, name: Uint8Array): void {
    this.#add(directory, name, this.#at(fromDirectory, from));
  }

  rename(directory: number, from: Uint8Array, name: Uint8Array, replace: boolean): void {
    const node = this.#at(directory, from);
    const { entries } = this.#at(directory);
    if (replace && entries.get(latin(name))?.type !== "dir") entries.delete(latin(name));
    this.#add(directory, name, node);
    entries.delete(latin(from));
  }

  remove(directory: number, name: Uint8Array): void {
    this.#at(directory).entries.delete(latin(name));
  }

  setOwner(handle: number, name: Uint8Array | undefined, uid: number, gid: number): boolean {
    if (this.#options.asAnybody) return false;
    return this.#set(handle, name, "owner", { uid, gid });
  }

  setMode(handle: number, name: Uint8Array | undefined, mode: number): boolean {
    return this.#set(handle, name, "mode", { mode });
  }

  setXattr(handle: number, name: Uint8Array | undefined, attribute: Uint8Array, value: Uint8Array): boolean {
    if (this.#options.asAnybody || this.#options.withoutXattrs) return false;
    this.#at(handle, name).xattrs[latin(attribute)] = Buffer.from(value).toString("hex");
    return this.#set(handle, name, "xattr", {});
  }

  setTimes(handle: number, name: Uint8Array | undefined, atime: bigint, mtime: bigint): boolean {
    return this.#set(handle, name, "times", { atime, mtime });
  }

  /** Every name, as the kernel would show it. */
  tree(): TreeEntry[] {
    const entries: TreeEntry[] = [];
    const paths = new Map<Node, string[]>();
    const visit = (node: Node, path: string): void => {
      const known = paths.get(node);
      if (known === undefined) paths.set(node, [path]);
      else known.push(path);
      entries.push(this.#entry(node, path, known?.[0]));
      for (const name of [...node.entries.keys()].sort()) {
        visit(node.entries.get(name)!, path === "" ? name : `${path}/${name}`);
      }
    };
    visit(this.root, "");
    const nodes = new Map([...paths].flatMap(([node, all]) => all.map((path) => [path, node] as const)));
    return entries.map((entry) => {
      const count = paths.get(nodes.get(entry.path)!)!.length;
      return count > 1 ? { ...entry, nlink: count } : entry;
    });
  }

  node(path: string): Node | undefined {
    return path.split("/").reduce<Node | undefined>((node, name) => node?.entries.get(name), this.root);
  }

  #makeFileCalls(): FileCalls {
    const answer = (act: () => unknown): number => {
      try {
        return act() === false ? -1 : 0;
      } catch (error) {
        if (error instanceof TargetError) return -1;
        throw error;
      }
    };
    return {
      create: (directory, name) => this.createFile(directory, unterminated(name).slice()),
      write: (file, data, from, length, offset) => {
        // As a kernel may, only some of it.
        const count = Math.min(length, 100_000);
        this.write(file, data.subarray(from, from + count), BigInt(offset));
        return count;
      },
      truncate: (file, size) => answer(() => this.truncate(file, BigInt(size))),
      setOwner: (file, uid, gid) => answer(() => this.setOwner(file, undefined, uid, gid)),
      setMode: (file, mode) => answer(() => this.setMode(file, undefined, mode)),
      setXattr: (file, bytes, nameAt, valueAt, length) => {
        const value = bytes.slice(valueAt, valueAt + length);
        return this.setXattr(file, undefined, unterminated(bytes.subarray(nameAt)), value) ? 1 : 0;
      },
      setTimes: (file, bytes, at) => {
        const [atime, atimeRest, mtime, mtimeRest] = new BigInt64Array(bytes.slice(at, at + 32).buffer);
        const time = (seconds: bigint, rest: bigint) => seconds * 1_000_000_000n + rest;
        return answer(() => this.setTimes(file, undefined, time(atime!, atimeRest!), time(mtime!, mtimeRest!)));
      },
      close: (file) => answer(() => this.close(file)),
      rename: (directory, from, bytes, at, replace) => {
        this.plainNames.push(latin(unterminated(bytes.subarray(at))));
        return answer(() => this.rename(directory, unterminated(from), unterminated(bytes.subarray(at)), replace));
      },
      remove: (directory, name) => answer(() => this.remove(directory, unterminated(name))),
    };
  }

  #entry(node: Node, path: string, link: string | undefined): TreeEntry {
    const { type, mode, uid, gid, mtime, atime, target, rdev, size, xattrs } = node;
    return {
      path,
      type,
      mode: type === "symlink" ? 0o777 : mode,
      uid,
      gid,
      mtime: mtime.toString(),
      atime: atime.toString(),
      ...(type === "file"
        ? {
            size,
            ...digestOf(node),
            data: joined(node.written),
          }
        : {}),
      ...(type === "symlink" ? { target } : {}),
      ...(rdev === undefined ? {} : { rdev }),
      ...(Object.keys(xattrs).length > 0 ? { xattrs } : {}),
      ...(link === undefined ? {} : { link }),
    };
  }

  #open(node: Node): number {
    this.#handles.set(this.#nextHandle, node);
    return this.#nextHandle++;
  }

  #at(handle: number, name?: Uint8Array): Node {
    const node = this.#handles.get(handle);
    if (node === undefined) throw new Error("not open");
    const found = name === undefined ? node : node.entries.get(latin(name));
    if (found === undefined) throw new TargetError("missing", "Cannot find name");
    return found;
  }

  #add(directory: number, name: Uint8Array, node: Node): Node {
    const text = latin(name);
    if (text === "" || text === "." || text === ".." || /[/\0]/.test(text)) throw new Error(`unsafe name ${text}`);
    const { entries } = this.#at(directory);
    if (entries.has(text)) throw new TargetError("exists", "Cannot make name: there is one");
    entries.set(text, node);
    return node;
  }

  #set(handle: number, name: Uint8Array | undefined, step: string, fields: Partial<Node>): boolean {
    const node = this.#at(handle, name);
    node.steps.push(step);
    Object.assign(node, fields);
    return true;
  }
}

function unterminated(name: Uint8Array): Uint8Array {
  const end = name.indexOf(0);
  if (end < 0) throw new Error("a name without its NUL");
  return name.subarray(0, end);
}

const BLOCK = 4096;
/** Above this, `tree_of.py` hashes blocks that are not zero. */
const WHOLE = 256 * 1_048_576;

function digestOf({ size, blocks }: Node): { sha256: string } | { blocks: string } {
  const hash = createHash("sha256");
  if (size <= WHOLE) {
    const content = new Uint8Array(size);
    for (const [number, block] of blocks) {
      content.set(block.subarray(0, Math.min(BLOCK, size - number * BLOCK)), number * BLOCK);
    }
    return { sha256: hash.update(content).digest("hex") };
  }
  for (const [number, block] of [...blocks].sort(([a], [b]) => a - b)) {
    if (block.every((byte) => byte === 0)) continue;
    const offset = Buffer.alloc(8);
    offset.writeBigUInt64LE(BigInt(number * BLOCK));
    hash.update(offset).update(block.subarray(0, Math.min(BLOCK, size - number * BLOCK)));
  }
  return { blocks: hash.digest("hex") };
}

function joined(ranges: readonly [number, number][]): [number, number][] {
  const result: [number, number][] = [];
  for (const [start, end] of [...ranges].sort(([a], [b]) => a - b)) {
    const last = result.at(-1);
    if (last !== undefined && last[0] + last[1] === start) last[1] = end - last[0];
    else result.push([start, end - start]);
  }
  return result;
}

export function latin(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}
