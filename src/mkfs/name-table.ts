import { compareBytes } from "../bytes/bytes.ts";
import { displayName } from "../bytes/display.ts";
import { BtrfsError } from "../errors.ts";
import { NAME_LEN } from "../format/dir-item.ts";
import { S_IFDIR, S_IFMT, S_IFREG } from "../format/inode.ts";
import type { SourceStat, TreeSource } from "./source.ts";

const SLASH = 0x2f;
const FIRST_INODE = 256;
const MAX_LINKS = 65535;
const NOTHING = new Uint8Array(0);

/** A directory that becomes a subvolume. */
export interface SubvolumeName {
  /** Relative to the top. */
  readonly path: Uint8Array;
  readonly id: number;
}

/**
 * Names and numbers of all that becomes one subvolume: 33 bytes and the name for each.
 *
 * Entries stand in the order of their inode numbers; the ones of one directory stand together, sorted by name, so neither
 * depends on the order in which the host lists them. Entry 0 is the top of the subvolume.
 */
export class NameTable {
  /** Path of the subvolume's top. */
  readonly top: Uint8Array;
  #names = new Uint8Array(65_536);
  #nameBytes = 0;
  #capacity = 1024;
  #nameAt = new Float64Array(this.#capacity);
  #size = new Float64Array(this.#capacity);
  #parent = new Uint32Array(this.#capacity);
  /** Inode number; of a subvolume, its id. */
  #number = new Uint32Array(this.#capacity);
  #firstChild = new Uint32Array(this.#capacity);
  #children = new Uint32Array(this.#capacity);
  #kind = new Uint8Array(this.#capacity);
  /** Further names of the entries that have more than one. */
  readonly links = new Map<number, number[]>();
  readonly subvolumeEntries: number[] = [];
  count = 0;
  #nextInode = FIRST_INODE;

  constructor(top: Uint8Array) {
    this.top = top;
  }

  name(entry: number): Uint8Array {
    const end = entry + 1 < this.count ? this.#nameAt[entry + 1]! : this.#nameBytes;
    return this.#names.subarray(this.#nameAt[entry]!, end);
  }

  nameBytes(entry: number): number {
    return this.name(entry).byteLength;
  }

  /** Size that the file had when it was listed. */
  size(entry: number): number {
    return this.#size[entry]!;
  }

  parent(entry: number): number {
    return this.#parent[entry]!;
  }

  number(entry: number): number {
    return this.#number[entry]!;
  }

  /** Type bits of the mode, `S_IF*`. */
  type(entry: number): number {
    return (this.#kind[entry]! & 0xf) << 12;
  }

  isSubvolume(entry: number): boolean {
    return (this.#kind[entry]! & SUBVOLUME) !== 0;
  }

  /** Whether an entry before has the same inode. */
  isLink(entry: number): boolean {
    return (this.#kind[entry]! & LINK) !== 0;
  }

  /** First entry of a directory, and how many it has. */
  children(entry: number): { readonly first: number; readonly count: number } {
    return { first: this.#firstChild[entry]!, count: this.#children[entry]! };
  }

  /** Position of an entry in its directory. */
  position(entry: number): number {
    return entry - this.#firstChild[this.#parent[entry]!]!;
  }

  /** Relative to the top of the source. */
  path(entry: number): Uint8Array {
    const parts: Uint8Array[] = [];
    for (let at = entry; at !== 0; at = this.#parent[at]!) parts.push(this.name(at));
    if (this.top.byteLength > 0) parts.push(this.top);
    return joined(parts.reverse());
  }

  add(parent: number, name: Uint8Array, kind: number, size: number, number?: number): number {
    const entry = this.count++;
    if (entry === this.#capacity) this.#grow();
    while (this.#nameBytes + name.byteLength > this.#names.byteLength) this.#names = grown(this.#names);
    this.#names.set(name, this.#nameBytes);
    this.#nameAt[entry] = this.#nameBytes;
    this.#nameBytes += name.byteLength;
    this.#parent[entry] = parent;
    this.#kind[entry] = kind;
    this.#size[entry] = size;
    this.#number[entry] = number ?? this.#nextInode++;
    return entry;
  }

  setChildren(entry: number, first: number, count: number): void {
    this.#firstChild[entry] = first;
    this.#children[entry] = count;
  }

  /** Names and sizes as bytes: what a uuid that is to be the same every time is made of. */
  fingerprintParts(): Uint8Array[] {
    const bytes = (array: Float64Array | Uint32Array, length: number): Uint8Array =>
      new Uint8Array(array.buffer, 0, length * array.BYTES_PER_ELEMENT);
    return [this.#names.subarray(0, this.#nameBytes), bytes(this.#nameAt, this.count), bytes(this.#size, this.count)];
  }

  #grow(): void {
    this.#capacity *= 2;
    this.#nameAt = grown(this.#nameAt);
    this.#size = grown(this.#size);
    this.#parent = grown(this.#parent);
    this.#number = grown(this.#number);
    this.#firstChild = grown(this.#firstChild);
    this.#children = grown(this.#children);
    this.#kind = grown(this.#kind);
  }
}

const SUBVOLUME = 0x10;
const LINK = 0x20;

/** Walks what becomes one subvolume; `subvolumes` are others, whose places are noted and not entered. */
export async function walkNames(
  source: TreeSource,
  top: Uint8Array,
  subvolumes: readonly SubvolumeName[],
  signal?: AbortSignal,
): Promise<NameTable> {
  const table = new NameTable(top);
  const others = new Map(subvolumes.map(({ path, id }) => [String.fromCharCode(...path), id]));
  const known = new Map<number | bigint, Map<number | bigint, number>>();
  const { mode } = await source.stat(top);
  if ((mode & S_IFMT) !== S_IFDIR) {
    throw new BtrfsError("kind", "Cannot make filesystem: its source is no directory", whereOf(top));
  }
  const waiting = [table.add(0, NOTHING, mode >>> 12, 0)];
  for (let entry = waiting.pop(); entry !== undefined; entry = waiting.pop()) {
    signal?.throwIfAborted();
    const path = table.path(entry);
    const names = [...(await source.list(path))].sort(compareBytes);
    const first = table.count;
    for (const name of names) {
      const child = path.byteLength === 0 ? name : joined([path, name]);
      if (name.byteLength > NAME_LEN) {
        throw new BtrfsError("limit", `Cannot take file: its name has ${name.byteLength} bytes`, whereOf(child));
      }
      const stat = await source.stat(child);
      const other = others.size === 0 ? undefined : others.get(String.fromCharCode(...child));
      if (other !== undefined) {
        if ((stat.mode & S_IFMT) !== S_IFDIR) {
          throw new BtrfsError("kind", "Cannot make subvolume: it is no directory", whereOf(child));
        }
        table.subvolumeEntries.push(table.add(entry, name, (S_IFDIR >>> 12) | SUBVOLUME, 0, other));
      } else {
        addName(table, entry, name, stat, known);
      }
    }
    table.setChildren(entry, first, names.length);
    for (let at = table.count - 1; at >= first; at--) {
      if (table.type(at) === S_IFDIR && !table.isSubvolume(at)) waiting.push(at);
    }
  }
  return table;
}

function addName(
  table: NameTable,
  parent: number,
  name: Uint8Array,
  stat: SourceStat,
  known: Map<number | bigint, Map<number | bigint, number>>,
): void {
  const type = (stat.mode & S_IFMT) >>> 12;
  const size = (stat.mode & S_IFMT) === S_IFREG ? stat.size : 0;
  if (stat.nlink < 2 || (stat.mode & S_IFMT) === S_IFDIR) {
    table.add(parent, name, type, size);
    return;
  }
  const inodes = known.get(stat.device) ?? new Map<number | bigint, number>();
  known.set(stat.device, inodes);
  const first = inodes.get(stat.inode);
  if (first === undefined) {
    inodes.set(stat.inode, table.add(parent, name, type, size));
    return;
  }
  const names = table.links.get(first);
  if ((names?.length ?? 0) + 1 >= MAX_LINKS) {
    throw new BtrfsError("limit", `Cannot take file: it has more than ${MAX_LINKS} names`, whereOf(table.path(first)));
  }
  const entry = table.add(parent, name, type | LINK, size, table.number(first));
  if (names === undefined) table.links.set(first, [entry]);
  else names.push(entry);
}

function grown<T extends Uint8Array | Uint32Array | Float64Array>(array: T): T {
  const longer = new (array.constructor as new (length: number) => T)(array.length * 2);
  longer.set(array);
  return longer;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const path = new Uint8Array(
    Math.max(
      parts.reduce((sum, part) => sum + part.byteLength + 1, -1),
      0,
    ),
  );
  let at = 0;
  for (const part of parts) {
    path.set(part, at);
    at += part.byteLength;
    if (at < path.byteLength) path[at++] = SLASH;
  }
  return path;
}

export function whereOf(path: Uint8Array): { readonly where: { readonly path: string } } {
  return { where: { path: path.byteLength === 0 ? "." : displayName(path) } };
}
