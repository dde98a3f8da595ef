import { toBytes } from "../../src/bytes/bytes.ts";
import * as edit from "../../src/edit/index.ts";
import { FIRST_FREE_OBJECTID } from "../../src/format/objectid.ts";
import type { Transaction } from "../../src/transaction/transaction.ts";
import type { WritableVolume } from "../../src/transaction/writable.ts";
import type { Random } from "../kernel/support/random.ts";
import { ImageModel, type ModelDirectory, type ModelFile, type ModelSubvolume } from "./image-model.ts";

const WEIGHTS = {
  create: 6,
  write: 14,
  overwrite: 10,
  truncate: 5,
  punch: 5,
  clone: 9,
  preallocate: 3,
  directory: 4,
  symlink: 2,
  special: 1,
  link: 3,
  rename: 5,
  unlink: 6,
  removeDirectory: 1,
  attributes: 2,
  xattr: 4,
  removeXattr: 1,
  subvolume: 1,
  snapshot: 3,
  deleteSubvolume: 2,
} as const;

const ALGORITHMS = [undefined, undefined, "zlib", "lzo", "zstd"] as const;

/** A random history of an image, and in memory what comes of it. */
export class ImageHistory {
  readonly model = new ImageModel();
  readonly random: Random;
  /** Longest write in bytes. */
  readonly maxBytes: number;
  /** What was done, in words. */
  readonly log: string[] = [];
  #names = 0;
  #now = 1_700_000_000_000_000_000n;

  constructor(random: Random, maxBytes = 300_000) {
    this.random = random;
    this.maxBytes = maxBytes;
  }

  /** One transaction of so many steps. */
  async run(volume: WritableVolume, steps: number): Promise<void> {
    await volume.transaction(async (tx) => {
      for (let step = 0; step < steps; step++) await this.#step(tx);
    });
  }

  async #step(tx: Transaction): Promise<void> {
    const what = this.random.weighted(WEIGHTS);
    const subvolume = this.random.pick([...this.model.subvolumes.values()].filter(({ readOnly }) => !readOnly));
    this.#now += 1_000_000_007n;
    await this.#do(what, { tx, tree: subvolume.id, now: this.#now }, subvolume);
  }

  async #do(what: keyof typeof WEIGHTS, at: edit.Place, subvolume: ModelSubvolume): Promise<void> {
    const { random, model } = this;
    const { path, directory } = random.pick(model.directories(subvolume.id));
    const files = model.files(subvolume.id);
    const parent = await inodeOf(at, path);
    const name = this.#name();
    this.log.push(`${what} ${subvolume.id} ${[...path, name].join("/")}`);
    switch (what) {
      case "create":
      case "write":
        await this.#create(at, parent, directory, name, what === "write");
        return;
      case "directory":
        await edit.makeDirectory(at, parent, name);
        directory.entries.set(name, { kind: "directory", entries: new Map() });
        return;
      case "symlink":
        await edit.makeSymlink(at, parent, name, toBytes(`to ${name}`));
        directory.entries.set(name, { kind: "symlink", target: `to ${name}` });
        return;
      case "special":
        await edit.makeSpecial(
          at,
          parent,
          name,
          random.chance(50) ? { kind: "fifo" } : { kind: "char", major: 1, minor: 3 },
        );
        await edit.unlink(at, parent, name);
        return;
      case "subvolume":
        model.add(await edit.createSubvolume(at, parent, name));
        directory.entries.set(name, { kind: "subvolume", id: [...model.subvolumes.keys()].at(-1)! });
        return;
      case "snapshot": {
        const source = random.pick([...model.subvolumes.keys()]);
        const readOnly = random.chance(40);
        const id = await edit.snapshotSubvolume(at, source, parent, name, { readOnly });
        model.snapshot(source, id, readOnly);
        directory.entries.set(name, { kind: "subvolume", id });
        this.log.push(`  of ${source}: ${id}`);
        return;
      }
      case "deleteSubvolume":
        await this.#deleteSubvolume(at);
        return;
      case "removeDirectory":
        await this.#removeDirectory(at, subvolume);
        return;
      default:
        if (files.length > 0) await this.#change(what, at, random.pick(files), { parent, directory, name });
    }
  }

  async #change(
    what: string,
    at: edit.Place,
    { path, parent, name, file }: ReturnType<ImageModel["files"]>[number],
    to: { readonly parent: bigint; readonly directory: ModelDirectory; readonly name: string },
  ): Promise<void> {
    const { random } = this;
    const inode = await inodeOf(at, path);
    const size = file.content.byteLength;
    this.log.push(`  ${path.join("/")}, ${size} bytes`);
    switch (what) {
      case "overwrite":
        await this.#write(at, inode, file, this.#offset(size));
        return;
      case "truncate": {
        const next = random.chance(60) ? this.#offset(size) : size + this.#length();
        await edit.truncateFile(at, inode, BigInt(next));
        file.content = resized(file.content, next);
        this.log.push(`  to ${next}`);
        return;
      }
      case "punch": {
        const start = this.#offset(size);
        const end = start + this.#length();
        await edit.punchHole(at, inode, BigInt(start), BigInt(end));
        file.content = file.content.slice();
        file.content.fill(0, Math.min(start, size), Math.min(end, size));
        this.log.push(`  ${start} to ${end}`);
        return;
      }
      case "preallocate": {
        const start = this.#offset(size);
        const end = start + this.#length();
        const keepSize = random.chance(50);
        await edit.preallocate(at, inode, BigInt(start), BigInt(end), { keepSize });
        if (!keepSize && end > size) file.content = resized(file.content, end);
        this.log.push(`  ${start} to ${end} ${keepSize}`);
        return;
      }
      case "clone":
        await this.#clone(at, inode, file);
        return;
      case "link":
        await edit.link(at, inode, to.parent, to.name);
        to.directory.entries.set(to.name, file);
        return;
      case "rename": {
        const from = await inodeOf(at, path.slice(0, -1));
        // Sometimes onto another file.
        const others = [...to.directory.entries].filter(([, entry]) => entry.kind === "file" && entry !== file);
        const target = others.length > 0 && random.chance(30) ? random.pick(others)[0] : to.name;
        await edit.rename(at, from, name, to.parent, target);
        parent.entries.delete(name);
        to.directory.entries.set(target, file);
        return;
      }
      case "unlink":
        await edit.unlink(at, await inodeOf(at, path.slice(0, -1)), name);
        parent.entries.delete(name);
        return;
      case "attributes":
        await edit.setAttributes(at, inode, { mode: 0o600 + random.between(0, 63), uid: 1000, mtime: 5n, otime: 7n });
        return;
      case "xattr": {
        const key = `user.${random.between(0, 5)}`;
        const value = "x".repeat(random.between(0, random.chance(20) ? 1500 : 60));
        await edit.setXattr(at, inode, key, toBytes(value));
        file.xattrs.set(key, value);
        return;
      }
      case "removeXattr": {
        const [key] = file.xattrs.keys();
        if (key === undefined) return;
        await edit.removeXattr(at, inode, key);
        file.xattrs.delete(key);
      }
    }
  }

  async #create(
    at: edit.Place,
    parent: bigint,
    directory: ModelDirectory,
    name: string,
    withData: boolean,
  ): Promise<void> {
    const inode = await edit.createFile(at, parent, name, { mode: 0o644 });
    const file: ModelFile = { kind: "file", content: new Uint8Array(0), xattrs: new Map() };
    directory.entries.set(name, file);
    if (withData) await this.#write(at, inode, file, this.random.chance(80) ? 0 : this.#offset(50_000));
  }

  async #write(at: edit.Place, inode: bigint, file: ModelFile, offset: number): Promise<void> {
    const data = this.#data();
    const algorithm = this.random.pick(ALGORITHMS);
    const compress = algorithm === undefined ? undefined : { algorithm };
    this.log.push(`  ${data.byteLength} bytes at ${offset} ${algorithm ?? ""}`);
    await edit.writeFile(at, inode, BigInt(offset), data, { compress });
    file.content = resized(file.content, Math.max(file.content.byteLength, offset + data.byteLength));
    file.content.set(data, offset);
  }

  async #clone(at: edit.Place, inode: bigint, file: ModelFile): Promise<void> {
    const { random } = this;
    const source = random.pick([...this.model.subvolumes.values()]);
    const files = this.model.files(source.id).filter(({ file: other }) => other.content.byteLength > 0);
    if (files.length === 0) return;
    const { path, file: from } = random.pick(files);
    const size = from.content.byteLength;
    const start = Math.floor(this.#offset(size - 1) / 4096) * 4096;
    const offset = Math.floor(this.#offset(file.content.byteLength) / 4096) * 4096;
    const toEnd = random.chance(40);
    const length = toEnd ? size - start : Math.floor(random.between(0, size - start) / 4096) * 4096;
    if (length === 0) return;
    // A part of a sector is shared only as the end of both.
    if (length % 4096 !== 0 && offset + length < file.content.byteLength) return;
    if (from === file && offset < start + length && start < offset + length) return;
    const origin = await inodeOf({ ...at, tree: source.id }, path);
    this.log.push(`  ${length} bytes from ${source.id} ${path.join("/")} at ${start} to ${offset}`);
    const content = from.content.slice(start, start + length);
    await edit.cloneRange(
      at,
      inode,
      BigInt(offset),
      { tree: source.id, inode: origin, offset: BigInt(start) },
      BigInt(length),
    );
    file.content = resized(file.content, Math.max(file.content.byteLength, offset + length));
    file.content.set(content, offset);
  }

  async #deleteSubvolume(at: edit.Place): Promise<void> {
    const places = [...this.model.subvolumes.keys()].flatMap((id) =>
      this.model
        .directories(id)
        .flatMap(({ directory }) =>
          [...directory.entries].flatMap(([name, entry]) =>
            entry.kind === "subvolume" ? [{ directory, name, id: entry.id }] : [],
          ),
        ),
    );
    const holding = new Set(places.map(({ directory }) => directory));
    const free = places.filter(({ id }) => !this.model.directories(id).some(({ directory }) => holding.has(directory)));
    if (free.length === 0) return;
    const { directory, name, id } = this.random.pick(free);
    const now = this.random.chance(60);
    this.log.push(`  subvolume ${id} ${now ? "now" : "lazily"}`);
    await edit.deleteSubvolume(at, id, { now });
    directory.entries.delete(name);
    this.model.subvolumes.delete(id);
  }

  async #removeDirectory(at: edit.Place, subvolume: ModelSubvolume): Promise<void> {
    for (const { path, directory } of this.model.directories(subvolume.id)) {
      for (const [name, entry] of directory.entries) {
        if (entry.kind !== "directory" || entry.entries.size > 0) continue;
        await edit.removeDirectory(at, await inodeOf(at, path), name);
        directory.entries.delete(name);
        return;
      }
    }
  }

  #name(): string {
    const long = this.random.chance(10) ? "n".repeat(this.random.between(1, 200)) : "";
    return `${this.#names++}${long}`;
  }

  #offset(size: number): number {
    const offset = this.random.between(0, size);
    return this.random.chance(40) ? Math.floor(offset / 4096) * 4096 : offset;
  }

  #length(): number {
    const { random } = this;
    const most = random.weighted({ tiny: 3, small: 4, large: 3 });
    if (most === "tiny") return random.between(1, 2500);
    const length = random.between(1, most === "small" ? 20_000 : this.maxBytes);
    return random.chance(30) ? Math.ceil(length / 4096) * 4096 : length;
  }

  /** Bytes of which some compress and some do not. */
  #data(): Uint8Array {
    const { random } = this;
    const data = new Uint8Array(this.#length());
    for (let from = 0; from < data.byteLength; ) {
      const to = Math.min(data.byteLength, from + random.between(1, 60_000));
      const kind = random.between(0, 2);
      if (kind === 0) for (let at = from; at < to; at++) data[at] = random.word();
      else if (kind === 1) data.fill(random.between(0, 255), from, to);
      else for (let at = from; at < to; at++) data[at] = 97 + (at % 23) + (at % 1000 === 0 ? random.between(0, 9) : 0);
      from = to;
    }
    return data;
  }
}

function resized(content: Uint8Array, size: number): Uint8Array {
  const next = new Uint8Array(size);
  next.set(content.subarray(0, size));
  return next;
}

async function inodeOf(at: edit.Place, path: readonly string[]): Promise<bigint> {
  let inode = FIRST_FREE_OBJECTID;
  for (const name of path) inode = (await edit.findName(at, inode, toBytes(name)))!.location.objectid;
  return inode;
}
