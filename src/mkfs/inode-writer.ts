import { compareBytes, concatBytes } from "../bytes/bytes.ts";
import { BtrfsError } from "../errors.ts";
import { DirItem, ENTRY_TYPES, FT_XATTR, NAME_LEN } from "../format/dir-item.ts";
import { FILE_EXTENT_INLINE, FILE_EXTENT_REG, FileExtentItem, INLINE_DATA_AT } from "../format/file-extent.ts";
import { InodeItem } from "../format/inode.ts";
import { InodeExtref, InodeRef } from "../format/inode-ref.ts";
import { KEY_BYTES, keyOf } from "../format/key.ts";
import * as types from "../format/key-type.ts";
import { ITEM_HEADER_BYTES } from "../format/node.ts";
import { leafCapacity } from "../transaction/leaf.ts";
import { encodeDirEntry } from "../transaction/new-items.ts";
import { extrefHash, nameHash } from "../tree/hash.ts";
import { type NameTable, whereOf } from "./name-table.ts";
import type { Recipe } from "./recipe.ts";
import type { SourceTime, SourceXattr } from "./source.ts";
import { putU64, type TreeWriter } from "./tree-writer.ts";

/** What an INODE_ITEM says beside its number. */
export interface InodeFacts {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly nbytes: number;
  readonly nlink: number;
  readonly rdev: number;
  readonly atime: SourceTime;
  readonly mtime: SourceTime;
  readonly ctime: SourceTime;
  readonly otime: SourceTime;
}

/** Columns of the extents of a file. */
export const EXTENT = { fileOffset: 0, fileBytes: 1, logical: 2, storedBytes: 3, compression: 4, columns: 5 } as const;

/** First index of a name in its directory. */
const FIRST_INDEX = 2;
const PARENT = new Uint8Array([0x2e, 0x2e]);
const NOWHERE = keyOf(0n, 0, 0n);
const INODE = InodeItem.offsets;
const TIMES = ["atime", "mtime", "ctime", "otime"] as const;
const EXTENT_ITEM = FileExtentItem.offsets;

/** Writes the items of inodes, in the order in which they are called: one inode after the other, each from its INODE_ITEM on. */
export class InodeWriter {
  readonly #recipe: Recipe;
  readonly #tree: TreeWriter;
  readonly #names: NameTable;
  /** Bytes that an item may have. */
  readonly #most: number;

  constructor(recipe: Recipe, tree: TreeWriter, names: NameTable) {
    this.#recipe = recipe;
    this.#tree = tree;
    this.#names = names;
    this.#most = leafCapacity(recipe.nodeSize) - ITEM_HEADER_BYTES;
  }

  /** Bytes of inline data that an item can hold. */
  get mostInline(): number {
    return this.#most - INLINE_DATA_AT;
  }

  inode(number: number, facts: InodeFacts): void {
    const tree = this.#tree;
    tree.add(number, types.INODE_ITEM, 0, InodeItem.byteLength);
    const { view, at } = tree;
    putU64(view, at + INODE.generation, this.#recipe.generation);
    putU64(view, at + INODE.transid, this.#recipe.generation);
    putU64(view, at + INODE.size, facts.size);
    putU64(view, at + INODE.nbytes, facts.nbytes);
    view.setUint32(at + INODE.nlink, facts.nlink, true);
    view.setUint32(at + INODE.uid, facts.uid, true);
    view.setUint32(at + INODE.gid, facts.gid, true);
    view.setUint32(at + INODE.mode, facts.mode, true);
    putU64(view, at + INODE.rdev, facts.rdev);
    for (const name of TIMES) {
      putU64(view, at + INODE[name], facts[name].sec);
      view.setUint32(at + INODE[name] + 8, facts[name].nsec, true);
    }
  }

  /** INODE_REF items of all names of an entry's inode, and INODE_EXTREFs where they are too many. */
  refs(entry: number): void {
    const names = this.#names;
    const number = names.number(entry);
    if (entry === 0) {
      this.#ref(number, number, [{ index: 0, name: PARENT }]);
      return;
    }
    const byParent = new Map<number, { index: number; name: Uint8Array }[]>();
    for (const each of [entry, ...(names.links.get(entry) ?? [])]) {
      const parent = names.number(names.parent(each));
      const list = byParent.get(parent);
      const ref = { index: FIRST_INDEX + names.position(each), name: names.name(each) };
      if (list === undefined) byParent.set(parent, [ref]);
      else list.push(ref);
    }
    const beyond: { parent: number; index: number; name: Uint8Array }[] = [];
    for (const [parent, refs] of [...byParent].sort(([a], [b]) => a - b)) {
      let bytes = 0;
      const fit = refs.findIndex(({ name }) => {
        bytes += InodeRef.byteLength + name.byteLength;
        return bytes > this.#most;
      });
      this.#ref(number, parent, fit < 0 ? refs : refs.slice(0, fit));
      if (fit >= 0) for (const { index, name } of refs.slice(fit)) beyond.push({ parent, index, name });
    }
    this.#extrefs(number, beyond);
  }

  #ref(number: number, parent: number, refs: readonly { index: number; name: Uint8Array }[]): void {
    const tree = this.#tree;
    const bytes = refs.reduce((sum, { name }) => sum + InodeRef.byteLength + name.byteLength, 0);
    tree.add(number, types.INODE_REF, parent, bytes);
    let at = tree.at;
    for (const { index, name } of refs) {
      putU64(tree.view, at + InodeRef.offsets.index, index);
      tree.view.setUint16(at + InodeRef.offsets.nameLen, name.byteLength, true);
      tree.bytes.set(name, at + InodeRef.byteLength);
      at += InodeRef.byteLength + name.byteLength;
    }
  }

  #extrefs(number: number, refs: readonly { parent: number; index: number; name: Uint8Array }[]): void {
    const encoded = refs.map(({ parent, index, name }) => {
      const data = new Uint8Array(InodeExtref.byteLength + name.byteLength);
      const view = new DataView(data.buffer);
      putU64(view, InodeExtref.offsets.parentObjectid, parent);
      putU64(view, InodeExtref.offsets.index, index);
      view.setUint16(InodeExtref.offsets.nameLen, name.byteLength, true);
      data.set(name, InodeExtref.byteLength);
      return { hash: extrefHash(BigInt(parent), name), data };
    });
    this.#hashed(number, types.INODE_EXTREF, encoded);
  }

  xattrs(entry: number, xattrs: readonly SourceXattr[]): void {
    if (xattrs.length === 0) return;
    const { generation } = this.#recipe;
    const sorted = [...xattrs].sort((a, b) => compareBytes(a.name, b.name));
    const encoded = sorted.map(({ name, value }) => {
      const bytes = DirItem.byteLength + name.byteLength + value.byteLength;
      if (bytes > this.#most || name.byteLength > NAME_LEN) {
        throw new BtrfsError(
          "limit",
          `Cannot take attribute: it has ${bytes} bytes, ${this.#most} fit into a tree block of this size`,
          whereOf(this.#names.path(entry)),
        );
      }
      return { hash: nameHash(name), data: encodeDirEntry(NOWHERE, BigInt(generation), FT_XATTR, name, value) };
    });
    this.#hashed(this.#names.number(entry), types.XATTR_ITEM, encoded);
  }

  /** Items by hash; what has the same hash shares one. */
  #hashed(number: number, type: number, encoded: { hash: number; data: Uint8Array }[]): void {
    const sorted = encoded.sort((a, b) => a.hash - b.hash);
    for (let first = 0; first < sorted.length; ) {
      let last = first + 1;
      while (last < sorted.length && sorted[last]!.hash === sorted[first]!.hash) last++;
      const data = concatBytes(sorted.slice(first, last).map((each) => each.data));
      this.#demandFits(data.byteLength);
      this.#tree.add(number, type, sorted[first]!.hash, data.byteLength);
      this.#tree.bytes.set(data, this.#tree.at);
      first = last;
    }
  }

  /** The names in a directory. */
  entries(directory: number): void {
    const names = this.#names;
    const tree = this.#tree;
    const number = names.number(directory);
    const { first, count } = names.children(directory);
    const hashes = new Float64Array(count);
    for (let at = 0; at < count; at++) hashes[at] = nameHash(names.name(first + at));
    const byHash = Uint32Array.from({ length: count }, (_, at) => at).sort((a, b) => hashes[a]! - hashes[b]! || a - b);
    for (let at = 0; at < count; ) {
      let last = at;
      let bytes = 0;
      do bytes += DirItem.byteLength + names.nameBytes(first + byHash[last]!);
      while (++last < count && hashes[byHash[last]!] === hashes[byHash[at]!]);
      this.#demandFits(bytes);
      tree.add(number, types.DIR_ITEM, hashes[byHash[at]!]!, bytes);
      let target = tree.at;
      for (; at < last; at++) target = this.#entry(first + byHash[at]!, target);
    }
    for (let at = 0; at < count; at++) {
      tree.add(number, types.DIR_INDEX, FIRST_INDEX + at, DirItem.byteLength + names.nameBytes(first + at));
      this.#entry(first + at, tree.at);
    }
  }

  #entry(entry: number, at: number): number {
    const names = this.#names;
    const { view, bytes } = this.#tree;
    const name = names.name(entry);
    const isSubvolume = names.isSubvolume(entry);
    putU64(view, at, names.number(entry));
    view.setUint8(at + 8, isSubvolume ? types.ROOT_ITEM : types.INODE_ITEM);
    putU64(view, at + KEY_BYTES, this.#recipe.generation);
    view.setUint16(at + DirItem.offsets.nameLen, name.byteLength, true);
    view.setUint8(at + DirItem.offsets.type, ENTRY_TYPES[names.type(entry)]!);
    bytes.set(name, at + DirItem.byteLength);
    return at + DirItem.byteLength + name.byteLength;
  }

  inline(number: number, data: Uint8Array, ramBytes: number, compression: number): void {
    const tree = this.#tree;
    tree.add(number, types.EXTENT_DATA, 0, INLINE_DATA_AT + data.byteLength);
    const { view, at } = tree;
    putU64(view, at + EXTENT_ITEM.generation, this.#recipe.generation);
    putU64(view, at + EXTENT_ITEM.ramBytes, ramBytes);
    view.setUint8(at + EXTENT_ITEM.compression, compression);
    view.setUint8(at + EXTENT_ITEM.type, FILE_EXTENT_INLINE);
    tree.bytes.set(data, at + INLINE_DATA_AT);
  }

  /** @param extents Rows of `EXTENT`, by file offset. @param size Length of the file. */
  extents(number: number, extents: ArrayLike<number>, size: number): void {
    const { noHoles, sectorSize } = this.#recipe;
    let covered = 0;
    for (let row = 0; row < extents.length; row += EXTENT.columns) {
      const fileOffset = extents[row + EXTENT.fileOffset]!;
      if (!noHoles && fileOffset > covered) this.#extent(number, covered, fileOffset - covered, 0, 0, 0);
      const fileBytes = extents[row + EXTENT.fileBytes]!;
      const [logical, stored] = [extents[row + EXTENT.logical]!, extents[row + EXTENT.storedBytes]!];
      this.#extent(number, fileOffset, fileBytes, logical, stored, extents[row + EXTENT.compression]!);
      covered = fileOffset + fileBytes;
    }
    const end = Math.ceil(size / sectorSize) * sectorSize;
    if (!noHoles && end > covered) this.#extent(number, covered, end - covered, 0, 0, 0);
  }

  #extent(
    number: number,
    fileOffset: number,
    fileBytes: number,
    logical: number,
    stored: number,
    compression: number,
  ): void {
    const tree = this.#tree;
    tree.add(number, types.EXTENT_DATA, fileOffset, FileExtentItem.byteLength);
    const { view, at } = tree;
    putU64(view, at + EXTENT_ITEM.generation, this.#recipe.generation);
    putU64(view, at + EXTENT_ITEM.ramBytes, fileBytes);
    view.setUint8(at + EXTENT_ITEM.compression, compression);
    view.setUint8(at + EXTENT_ITEM.type, FILE_EXTENT_REG);
    putU64(view, at + EXTENT_ITEM.diskBytenr, logical);
    putU64(view, at + EXTENT_ITEM.diskNumBytes, stored);
    putU64(view, at + EXTENT_ITEM.numBytes, fileBytes);
  }

  #demandFits(bytes: number): void {
    if (bytes <= this.#most) return;
    throw new BtrfsError("limit", `Cannot take names: those of one hash have ${bytes} bytes, ${this.#most} fit`);
  }
}
