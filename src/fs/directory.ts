import { equalBytes, toBytes } from "../bytes/bytes.ts";
import { displayName } from "../bytes/display.ts";
import { BtrfsError, CorruptError, type Where } from "../errors.ts";
import {
  DirItem,
  dirEntryEnd,
  FT_BLKDEV,
  FT_CHRDEV,
  FT_DIR,
  FT_FIFO,
  FT_REG_FILE,
  FT_SOCK,
  FT_SYMLINK,
  NAME_LEN,
} from "../format/dir-item.ts";
import { DiskKey, itemsOf, type Key, keyOf } from "../format/key.ts";
import { DIR_INDEX, DIR_ITEM, ROOT_ITEM } from "../format/key-type.ts";
import { itemSize, itemStart, itemWhere, type Leaf, slotKey } from "../format/node.ts";
import { EMPTY_SUBVOL_DIR_OBJECTID, FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import { nameHash } from "../tree/hash.ts";
import type { LeafSpan } from "../tree/source.ts";
import type { Inode, InodeKind } from "./inode.ts";
import { located } from "./located.ts";
import { NameWatch } from "./name-watch.ts";
import { joinPath } from "./path.ts";

/** One name in a directory. */
export interface DirectoryEntry {
  readonly name: Uint8Array;
  readonly kind: InodeKind;
  /** 256 when it leads to a subvolume, 2 where a snapshot has no copy of a nested one. */
  readonly inode: bigint;
  /** The subvolume whose root directory it is, when it leads out of this one. */
  readonly subvolume: bigint | undefined;
}

export interface ReadDirectoryOptions {
  readonly signal?: AbortSignal | undefined;
  /**
   * Takes what can't be read, in place of ending the listing. Names of unreadable leaves are then looked for in the
   * other index of the directory; some may be lost.
   */
  readonly onDamage?: ((error: BtrfsError) => void) | undefined;
}

const KINDS: Readonly<Record<number, InodeKind>> = {
  [FT_REG_FILE]: "file",
  [FT_DIR]: "directory",
  [FT_CHRDEV]: "char",
  [FT_BLKDEV]: "block",
  [FT_FIFO]: "fifo",
  [FT_SOCK]: "socket",
  [FT_SYMLINK]: "symlink",
};

const USUAL_NAME_BYTES = 12;
/** One listing looks for at most so many names that seem to have come before. */
const MAX_SEARCHES = 64;

const { offsets: AT } = DirItem;

export async function* readDirectory(
  directory: Inode,
  options: ReadDirectoryOptions = {},
): AsyncGenerator<DirectoryEntry[]> {
  directory.demand("directory", "list");
  if (directory.isPlaceholder) return;
  const listing = new Listing(directory, options);
  try {
    yield* listing.entries(DIR_INDEX);
    if (listing.isDamaged) yield* listing.entries(DIR_ITEM);
  } finally {
    listing.end();
  }
}

class Listing {
  readonly #directory: Inode;
  readonly #options: ReadDirectoryOptions;
  /** A name comes once: a kernel's directory has no other, but a damaged one may. */
  readonly #watch: NameWatch;
  #searches = 0;
  readonly #damagedNodes = new Set<number | undefined>();

  constructor(directory: Inode, options: ReadDirectoryOptions) {
    this.#directory = directory;
    this.#options = options;
    // A directory's size is twice the bytes of its names; a damaged one may say what it likes.
    this.#watch = new NameWatch(Math.min(Number(directory.stat.size), 1 << 20) / 2 / USUAL_NAME_BYTES);
  }

  get isDamaged(): boolean {
    return this.#damagedNodes.size > 0;
  }

  end(): void {
    this.#watch.end();
  }

  /** @param type DIR_INDEX or DIR_ITEM: either has every entry. */
  async *entries(type: number): AsyncGenerator<DirectoryEntry[]> {
    const { subvolume, number } = this.#directory;
    const { signal } = this.#options;
    const walk = subvolume.tree.walk(itemsOf(number, type), signal === undefined ? {} : { signal });
    for (;;) {
      let span: LeafSpan | undefined;
      try {
        const next = walk.next();
        span = next instanceof Promise ? await next : next;
      } catch (error) {
        // The walk has passed the bad node: what follows it can be had.
        this.#damage(error);
        continue;
      }
      if (span === undefined) return;
      const entries: DirectoryEntry[] = [];
      for (let slot = span.first; slot < span.last; slot++) {
        const before = entries.length;
        this.#decode(span.leaf, slot, entries);
        // Mostly one, new and in this subvolume: then nothing more is to be done.
        for (let at = before; at < entries.length; at++) {
          const entry = entries[at]!;
          const isNew = this.#watch.add(entry.name);
          if (isNew && entry.subvolume === undefined) continue;
          const isKnown = !isNew && (await this.#isKnown(entry, type, span.leaf, slot));
          const found = isKnown ? undefined : await this.#resolve(entry);
          if (found === undefined) entries.splice(at--, 1);
          else entries[at] = found;
        }
      }
      if (entries.length > 0) yield entries;
    }
  }

  /** Adds the entries of one item to `entries`. */
  #decode(leaf: Leaf, slot: number, entries: DirectoryEntry[]): void {
    const before = entries.length;
    try {
      decodeEntries(leaf, slot, entries);
    } catch (error) {
      entries.length = before;
      this.#damage(error);
    }
  }

  async #resolve(entry: DirectoryEntry): Promise<DirectoryEntry | undefined> {
    if (entry.subvolume === undefined) return entry;
    try {
      return await resolveSubvolume(this.#directory, entry);
    } catch (error) {
      this.#damage(error);
      return undefined;
    }
  }

  /** Whether a name that looks like one that has come is the same. */
  async #isKnown({ name }: DirectoryEntry, type: number, leaf: Leaf, slot: number): Promise<boolean> {
    // After damage both indexes are read, and then every name comes twice.
    if (type === DIR_ITEM) return true;
    // Only a directory that is made for it has so many names to look for: it may show them twice, and no time is lost.
    if (this.#searches >= MAX_SEARCHES || !(await this.#isBefore(name, slotKey(leaf, slot)))) return false;
    const message = "A directory has one name twice; the first is shown";
    this.#directory.subvolume.filesystem.warn("directory", message, entryWhere(this.#directory, name));
    return true;
  }

  /** Whether an entry before `end` has this name. */
  async #isBefore(name: Uint8Array, end: Key): Promise<boolean> {
    this.#searches++;
    const { subvolume, number } = this.#directory;
    const walk = subvolume.tree.walk({ first: keyOf(number, DIR_INDEX, 0n), last: end });
    for (;;) {
      let span: LeafSpan | undefined;
      try {
        const next = walk.next();
        span = next instanceof Promise ? await next : next;
      } catch (error) {
        if (!(error instanceof BtrfsError)) throw error;
        continue;
      }
      if (span === undefined) return false;
      for (let slot = span.first; slot < span.last; slot++) {
        const entries: DirectoryEntry[] = [];
        this.#decode(span.leaf, slot, entries);
        if (entries.some((entry) => equalBytes(entry.name, name))) return true;
      }
    }
  }

  #damage(error: unknown): void {
    const { onDamage } = this.#options;
    const found = located(error, this.#directory.where);
    if (!(found instanceof BtrfsError) || onDamage === undefined) throw found;
    const { logical } = found.where;
    const isKnown = logical !== undefined && this.#damagedNodes.has(logical);
    this.#damagedNodes.add(logical);
    if (!isKnown) onDamage(found);
  }
}

export async function findEntry(directory: Inode, name: string | Uint8Array): Promise<DirectoryEntry | undefined> {
  directory.demand("directory", "look up a name");
  const wanted = toBytes(name);
  if (directory.isPlaceholder || wanted.byteLength === 0 || wanted.byteLength > NAME_LEN) return undefined;
  const key = keyOf(directory.number, DIR_ITEM, BigInt(nameHash(wanted)));
  let entry: DirectoryEntry | undefined;
  try {
    const span = await directory.subvolume.tree.find(key, "exact");
    if (span === undefined) return undefined;
    const entries: DirectoryEntry[] = [];
    decodeEntries(span.leaf, span.first, entries);
    entry = entries.find((candidate) => equalBytes(candidate.name, wanted));
  } catch (error) {
    return findByIndex(directory, wanted, located(error, directory.where));
  }
  return entry?.subvolume === undefined ? entry : resolveSubvolume(directory, entry);
}

/** The hashed entries can't be read: the indexed ones have every name too. */
async function findByIndex(directory: Inode, wanted: Uint8Array, error: unknown): Promise<DirectoryEntry | undefined> {
  if (!(error instanceof BtrfsError)) throw error;
  for await (const entries of readDirectory(directory, { onDamage: () => {} })) {
    const entry = entries.find(({ name }) => equalBytes(name, wanted));
    if (entry === undefined) continue;
    const message = "The entry of a name can't be read; the directory's index has it";
    directory.subvolume.filesystem.warn("directory", message, entryWhere(directory, wanted));
    return entry;
  }
  throw error;
}

export async function enterEntry(directory: Inode, entry: DirectoryEntry): Promise<Inode> {
  const { subvolume } = directory;
  const way = directory.wayTo(entry.name);
  if (entry.subvolume !== undefined) return (await subvolume.filesystem.subvolume(entry.subvolume)).root(way);
  if (entry.inode === EMPTY_SUBVOL_DIR_OBJECTID) return subvolume.placeholder(directory, way);
  const inode = await subvolume.inode(entry.inode, way);
  if (inode.kind === entry.kind) return inode;
  throw new CorruptError(`Cannot trust inode: it is a ${inode.kind}, its name says ${entry.kind}`, inode.where);
}

/**
 * Where an entry for a subvolume leads: there, when the root tree agrees; to an empty directory, when the root tree
 * knows another place for it, as in a snapshot of what is around it; nowhere, when it is no more.
 */
async function resolveSubvolume(directory: Inode, entry: DirectoryEntry): Promise<DirectoryEntry | undefined> {
  const { filesystem, id } = directory.subvolume;
  const child = entry.subvolume!;
  const link = await filesystem.findSubvolumeLink(id, child);
  if (link === undefined || link.dirid !== directory.number || !equalBytes(link.name, entry.name)) {
    return { ...entry, inode: EMPTY_SUBVOL_DIR_OBJECTID, subvolume: undefined };
  }
  return (await filesystem.hasSubvolume(child)) ? entry : undefined;
}

/** Adds the entries of one DIR_ITEM or DIR_INDEX item, as they are stored. */
function decodeEntries(leaf: Leaf, slot: number, entries: DirectoryEntry[]): void {
  const { view, bytes } = leaf;
  const start = itemStart(leaf, slot);
  const end = start + itemSize(leaf, slot);
  for (let at = start; at < end; ) {
    const next = dirEntryEnd(view, at);
    const nameAt = at + DirItem.byteLength;
    const nameEnd = nameAt + view.getUint16(at + AT.nameLen, true);
    const kind = KINDS[view.getUint8(at + AT.type)];
    if (next > end || kind === undefined) {
      const what =
        next > end ? "it ends after its item" : `its type is ${view.getUint8(at + AT.type)}, expected 1 to 7`;
      throw new CorruptError(`Cannot trust directory entry: ${what}`, itemWhere(leaf, slot));
    }
    const target = view.getBigUint64(at, true);
    const leaves = view.getUint8(at + DiskKey.offsets.type) === ROOT_ITEM;
    entries.push({
      name: bytes.slice(nameAt, nameEnd),
      kind,
      inode: leaves ? FIRST_FREE_OBJECTID : target,
      subvolume: leaves ? target : undefined,
    });
    at = next;
  }
}

function entryWhere(directory: Inode, name: Uint8Array): Where {
  return { ...directory.where, path: displayName(joinPath(directory.path ?? new Uint8Array(0), name)) };
}
