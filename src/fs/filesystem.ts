import { type Codecs, loadCodecs } from "#codec";
import { equalBytes } from "../bytes/bytes.ts";
import type { ByteSource } from "../device/source.ts";
import { BtrfsError, type Where } from "../errors.ts";
import { decodeDirEntries } from "../format/dir-item.ts";
import { keyOf, MAX_U64 } from "../format/key.ts";
import { DIR_ITEM, ROOT_ITEM, ROOT_REF } from "../format/key-type.ts";
import { itemBytes, itemWhere, slotKey } from "../format/node.ts";
import { FS_TREE_OBJECTID, isSubvolumeId, ROOT_TREE_DIR_OBJECTID } from "../format/objectid.ts";
import { decodeRootItem, decodeRootRef, type RootItem, type RootName } from "../format/root.ts";
import { nameHash } from "../tree/hash.ts";
import type { OnEvent, WarningTopic } from "../volume/events.ts";
import { openVolume, type VolumeOptions } from "../volume/open.ts";
import type { Volume } from "../volume/volume.ts";
import { Buffers } from "./buffers.ts";
import type { Inode } from "./inode.ts";
import { type LookupOptions, lookupPath } from "./path.ts";
import { Subvolume, subvolumeInfo } from "./subvolume.ts";
import { type ListedSubvolume, listSubvolumes } from "./subvolume-list.ts";

export interface FilesystemOptions extends VolumeOptions {}

/** Each holds its root node. */
const MAX_OPEN_SUBVOLUMES = 256;
const DEFAULT = new TextEncoder().encode("default");

/**
 * Opens the filesystem that lies on `sources`: all of its devices, in any order. Closing it closes them.
 *
 * @throws {BtrfsError} as `openVolume`.
 */
export async function openFilesystem(
  sources: readonly ByteSource[],
  options: FilesystemOptions = {},
): Promise<Filesystem> {
  return new Filesystem(await openVolume(sources, options), options.onEvent ?? (() => {}));
}

/** Subvolumes, directories and files of an image, to look at. */
export class Filesystem {
  readonly volume: Volume;
  readonly onEvent: OnEvent;
  /** For whoever reads extents by way of memory of his own. */
  readonly buffers = new Buffers();
  readonly #subvolumes = new Map<bigint, Promise<Subvolume>>();
  #codecs: Promise<Codecs> | undefined;

  constructor(volume: Volume, onEvent: OnEvent) {
    this.volume = volume;
    this.onEvent = onEvent;
  }

  /** Every subvolume and snapshot that is not deleted, the top level first, then by id. */
  subvolumes(): Promise<ListedSubvolume[]> {
    return listSubvolumes(this);
  }

  /**
   * The subvolume with this id; 5 is the top level.
   *
   * @throws {BtrfsError} `missing`, when there is none, or it is being deleted.
   */
  subvolume(id: bigint): Promise<Subvolume> {
    const open = this.#subvolumes.get(id);
    if (open !== undefined) return open;
    const opening = this.#open(id);
    this.#subvolumes.set(id, opening);
    opening.catch(() => this.#subvolumes.delete(id));
    if (this.#subvolumes.size > MAX_OPEN_SUBVOLUMES) this.#subvolumes.delete(this.#subvolumes.keys().next().value!);
    return opening;
  }

  /** What is mounted when nothing is said: the top level, unless another one has been set. */
  async defaultSubvolume(): Promise<Subvolume> {
    const key = keyOf(ROOT_TREE_DIR_OBJECTID, DIR_ITEM, BigInt(nameHash(DEFAULT)));
    const span = await this.volume.rootTree.find(key, "exact");
    const entries =
      span === undefined ? [] : decodeDirEntries(itemBytes(span.leaf, span.first), itemWhere(span.leaf, span.first));
    const entry = entries.find(({ name }) => equalBytes(name, DEFAULT));
    return this.subvolume(entry?.location.objectid ?? FS_TREE_OBJECTID);
  }

  /** The root directory of the top-level subvolume, below which all others are. */
  async top(): Promise<Inode> {
    return (await this.subvolume(FS_TREE_OBJECTID)).root(new Uint8Array(0));
  }

  /**
   * What `path` leads to, from the top of the filesystem; names are compared byte by byte.
   *
   * @throws {BtrfsError} `missing`; `kind` where something on the way is no directory; `limit` for a loop of symlinks.
   */
  async lookup(path: string | Uint8Array, options: LookupOptions = {}): Promise<Inode> {
    return lookupPath(options.from ?? (await this.top()), path, options.followSymlinks);
  }

  /** Compression algorithms, loaded when a compressed extent is first met. */
  codecs(): Promise<Codecs> {
    this.#codecs ??= loadCodecs();
    return this.#codecs;
  }

  warn(topic: WarningTopic, message: string, where: Where): void {
    this.onEvent({ kind: "warning", topic, message, where });
  }

  /** Where subvolume `parent` has `child`, as the root tree knows it. */
  async findSubvolumeLink(parent: bigint, child: bigint): Promise<RootName | undefined> {
    const span = await this.volume.rootTree.find(keyOf(parent, ROOT_REF, child), "exact");
    return span && decodeRootRef(itemBytes(span.leaf, span.first), itemWhere(span.leaf, span.first));
  }

  /** Whether there is a subvolume of this id that is not deleted. */
  async hasSubvolume(id: bigint): Promise<boolean> {
    return isSubvolumeId(id) && ((await this.#findRootItem(id))?.refs ?? 0) > 0;
  }

  async close(): Promise<void> {
    await this.volume.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #open(id: bigint): Promise<Subvolume> {
    const item = isSubvolumeId(id) ? await this.#findRootItem(id) : undefined;
    if (item === undefined || item.refs === 0) {
      const what = item === undefined ? "there is none of this id" : "it is being deleted";
      throw new BtrfsError("missing", `Cannot open subvolume: ${what}`, { where: { tree: id } });
    }
    return new Subvolume(this, await this.volume.openTree(id), subvolumeInfo(id, item));
  }

  async #findRootItem(id: bigint): Promise<InstanceType<typeof RootItem> | undefined> {
    const span = await this.volume.rootTree.find(keyOf(id, ROOT_ITEM, MAX_U64), "atOrBefore");
    if (span === undefined) return undefined;
    const { objectid, type } = slotKey(span.leaf, span.first);
    if (objectid !== id || type !== ROOT_ITEM) return undefined;
    return decodeRootItem(itemBytes(span.leaf, span.first), itemWhere(span.leaf, span.first));
  }
}
