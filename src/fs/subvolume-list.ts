import { BtrfsError } from "../errors.ts";
import { decodeInodeRefs } from "../format/inode-ref.ts";
import { keyOf, keysThrough, MAX_U64 } from "../format/key.ts";
import { INODE_REF, ROOT_BACKREF, ROOT_ITEM } from "../format/key-type.ts";
import { itemBytes, itemWhere, slotKey } from "../format/node.ts";
import { FIRST_FREE_OBJECTID, FS_TREE_OBJECTID, isSubvolumeId, LAST_FREE_OBJECTID } from "../format/objectid.ts";
import { decodeRootItem, decodeRootRef, type RootItem } from "../format/root.ts";
import type { Filesystem } from "./filesystem.ts";
import { joinPath } from "./path.ts";
import { spansOf } from "./spans.ts";
import { type SubvolumeInfo, subvolumeInfo } from "./subvolume.ts";

export interface ListedSubvolume extends SubvolumeInfo {
  /** Where it is; `undefined` for the top level, and for one that no directory has. */
  readonly place: SubvolumePlace | undefined;
  /** From the top of the filesystem, without a slash at either end; `undefined` where the way can't be found. */
  readonly path: Uint8Array | undefined;
}

export interface SubvolumePlace {
  /** The subvolume around it. */
  readonly parent: bigint;
  /** Inode of the directory that has it. */
  readonly directory: bigint;
  readonly name: Uint8Array;
}

const TOP = new Uint8Array(0);

export async function listSubvolumes(filesystem: Filesystem): Promise<ListedSubvolume[]> {
  const items = new Map<bigint, InstanceType<typeof RootItem>>();
  const places = new Map<bigint, SubvolumePlace>();
  const range = keysThrough(keyOf(FS_TREE_OBJECTID, ROOT_ITEM, 0n), keyOf(LAST_FREE_OBJECTID, ROOT_BACKREF, MAX_U64));
  await spansOf(filesystem.volume.rootTree, range, ({ leaf, first, last }) => {
    for (let slot = first; slot < last; slot++) {
      const { objectid, type, offset } = slotKey(leaf, slot);
      if (!isSubvolumeId(objectid)) continue;
      const where = itemWhere(leaf, slot);
      // Of several root items the last one is in force.
      if (type === ROOT_ITEM) items.set(objectid, decodeRootItem(itemBytes(leaf, slot), where));
      if (type !== ROOT_BACKREF) continue;
      const { dirid, name } = decodeRootRef(itemBytes(leaf, slot), where);
      places.set(objectid, { parent: offset, directory: dirid, name: name.slice() });
    }
  });
  const paths = new Paths(filesystem, places);
  const listed: ListedSubvolume[] = [];
  for (const [id, item] of items) {
    if (item.refs === 0) continue;
    listed.push({ ...subvolumeInfo(id, item), place: places.get(id), path: await paths.find(id) });
  }
  return listed;
}

/** Finds the paths of subvolumes, each once. */
class Paths {
  readonly #filesystem: Filesystem;
  readonly #places: ReadonlyMap<bigint, SubvolumePlace>;
  readonly #found = new Map<bigint, Uint8Array | undefined>([[FS_TREE_OBJECTID, TOP]]);

  constructor(filesystem: Filesystem, places: ReadonlyMap<bigint, SubvolumePlace>) {
    this.#filesystem = filesystem;
    this.#places = places;
  }

  async find(id: bigint): Promise<Uint8Array | undefined> {
    const chain: bigint[] = [];
    let at = id;
    for (; !this.#found.has(at); at = this.#places.get(at)!.parent) {
      // Until it is known, it has none: that ends a ring of subvolumes inside each other.
      this.#found.set(at, undefined);
      if (!this.#places.has(at)) break;
      chain.push(at);
    }
    for (const child of chain.reverse()) {
      const { parent, directory, name } = this.#places.get(child)!;
      const above = this.#found.get(parent);
      const inside = above === undefined ? undefined : await this.#directoryPath(parent, directory);
      if (inside !== undefined) this.#found.set(child, joinPath(joinOptional(above!, inside), name));
    }
    return this.#found.get(id);
  }

  /** From the root of its subvolume; `undefined` where the way up can't be found. */
  async #directoryPath(subvolume: bigint, directory: bigint): Promise<Uint8Array | undefined> {
    try {
      const { tree } = await this.#filesystem.subvolume(subvolume);
      const passed = new Set<bigint>();
      let path: Uint8Array = TOP;
      for (let at = directory; at !== FIRST_FREE_OBJECTID; ) {
        const span = await tree.find(keyOf(at, INODE_REF, MAX_U64), "atOrBefore");
        if (span === undefined || passed.has(at)) return undefined;
        passed.add(at);
        const { objectid, type, offset } = slotKey(span.leaf, span.first);
        if (objectid !== at || type !== INODE_REF) return undefined;
        const [ref] = decodeInodeRefs(itemBytes(span.leaf, span.first), offset, itemWhere(span.leaf, span.first));
        if (ref === undefined) return undefined;
        path = path === TOP ? ref.name.slice() : joinPath(ref.name, path);
        at = ref.parent;
      }
      return path;
    } catch (error) {
      if (error instanceof BtrfsError) return undefined;
      throw error;
    }
  }
}

function joinOptional(directory: Uint8Array, path: Uint8Array): Uint8Array {
  return path.byteLength === 0 ? directory : joinPath(directory, path);
}
