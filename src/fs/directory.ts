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
import { DiskKey, itemsOf, keyOf } from "../format/key.ts";
import { DIR_INDEX, DIR_ITEM, ROOT_ITEM } from "../format/key-type.ts";
import { itemSize, itemStart, itemWhere, type Leaf } from "../format/node.ts";
import { EMPTY_SUBVOL_DIR_OBJECTID, FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import { nameHash } from "../tree/hash.ts";
import type { LeafSpan } from "../tree/source.ts";
import type { Inode, InodeKind } from "./inode.ts";
import { located } from "./located.ts";
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

const { offsets: AT } = DirItem;

export async function* readDirectory(
  directory: Inode,
  options: ReadDirectoryOptions = {},
): AsyncGenerator<DirectoryEntry[]> {
  directory.demand("directory", "list");
  if (directory.isPlaceholder) return;
  const listing = new Listing(directory, options);
  yield* listing.entries(DIR_INDEX);
  if (listing.isDamaged) yield* listing.entries(DIR_ITEM);
}

class Listing {
  readonly #directory: Inode;
  readonly #options: ReadDirectoryOptions;
  /** A name comes once: a kernel's directory has no other, but a damaged one may. */
  readonly #seen = new Set<string>();
  readonly #damagedNodes = new Set<number | undefined>();

  constructor(directory: Inode, options: ReadDirectoryOptions) {
    this.#directory = directory;
    this.#options = options;
  }

  get isDamaged(): boolean {
    return this.#damagedNodes.size > 0;
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
        for (const entry of this.#decode(span.leaf, slot)) {
          if (!this.#isNew(entry)) continue;
          const found = entry.subvolume === undefined ? entry : await this.#resolve(entry);
          if (found !== undefined) entries.push(found);
        }
      }
      if (entries.length > 0) yield entries;
    }
  }

  #decode(leaf: Leaf, slot: number): DirectoryEntry[] {
    try {
      return decodeEntries(leaf, slot);
    } catch (error) {
      this.#damage(error);
      return [];
    }
  }

  async #resolve(entry: DirectoryEntry): Promise<DirectoryEntry | undefined> {
    try {
      return await resolveSubvolume(this.#directory, entry);
    } catch (error) {
      this.#damage(error);
      return undefined;
    }
  }

  #isNew({ name }: DirectoryEntry): boolean {
    // Spreading the bytes, or asking before adding, would take several times as long.
    const known = this.#seen.size;
    this.#seen.add(String.fromCharCode.apply(undefined, name as unknown as number[]));
    if (this.#seen.size > known) return true;
    // After damage both indexes are read, and then every name comes twice.
    if (!this.isDamaged) {
      const message = "A directory has one name twice; the first is shown";
      this.#directory.subvolume.filesystem.warn("directory", message, entryWhere(this.#directory, name));
    }
    return false;
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
    entry = decodeEntries(span.leaf, span.first).find((candidate) => equalBytes(candidate.name, wanted));
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
  const path = directory.path === undefined ? undefined : joinPath(directory.path, entry.name);
  if (entry.subvolume !== undefined) return (await subvolume.filesystem.subvolume(entry.subvolume)).root(path);
  if (entry.inode === EMPTY_SUBVOL_DIR_OBJECTID) return subvolume.placeholder(directory, path);
  const inode = await subvolume.inode(entry.inode, path);
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

/** The entries of one DIR_ITEM or DIR_INDEX item, as they are stored. */
function decodeEntries(leaf: Leaf, slot: number): DirectoryEntry[] {
  const { view, bytes } = leaf;
  const start = itemStart(leaf, slot);
  const end = start + itemSize(leaf, slot);
  const entries: DirectoryEntry[] = [];
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
  return entries;
}

function entryWhere(directory: Inode, name: Uint8Array): Where {
  return { ...directory.where, path: displayName(joinPath(directory.path ?? new Uint8Array(0), name)) };
}
