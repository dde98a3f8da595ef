import { BtrfsError } from "../errors.ts";
import { keyOf, MAX_U64 } from "../format/key.ts";
import { ROOT_BACKREF, ROOT_ITEM } from "../format/key-type.ts";
import { FS_TREE_OBJECTID, isSubvolumeId, LAST_FREE_OBJECTID, ROOT_TREE_OBJECTID } from "../format/objectid.ts";
import { decodeRootItem, decodeRootRef, type RootItem } from "../format/root.ts";
import { joinPath } from "../fs/path.ts";
import { subvolumeInfo } from "../fs/subvolume.ts";
import type { ListedSubvolume, SubvolumePlace } from "../fs/subvolume-list.ts";
import { lookupInode } from "./lookup.ts";
import type { Native } from "./native.ts";
import { searchTree } from "./search.ts";

const TOP = new Uint8Array(0);

/**
 * Every subvolume of the mounted filesystem, by id, also those that this mount does not show; as `listSubvolumes` of an
 * image. What changes meanwhile is seen or not, as it happens.
 *
 * @throws {KernelError} EPERM without root, ENOTTY where it is not btrfs.
 */
export function listLiveSubvolumes(native: Native, fd: number): ListedSubvolume[] {
  const items = new Map<bigint, InstanceType<typeof RootItem>>();
  const places = new Map<bigint, SubvolumePlace>();
  const range = {
    tree: ROOT_TREE_OBJECTID,
    min: keyOf(FS_TREE_OBJECTID, ROOT_ITEM, 0n),
    max: keyOf(LAST_FREE_OBJECTID, ROOT_BACKREF, MAX_U64),
  };
  for (const { objectid, type, offset, data } of searchTree(native, fd, range)) {
    if (!isSubvolumeId(objectid)) continue;
    const where = { tree: ROOT_TREE_OBJECTID, key: `(${objectid} ${type} ${offset})` };
    if (type === ROOT_ITEM) items.set(objectid, decodeRootItem(data, where));
    if (type !== ROOT_BACKREF) continue;
    const { dirid, name } = decodeRootRef(data, where);
    places.set(objectid, { parent: offset, directory: dirid, name: name.slice() });
  }
  const paths = new Map<bigint, Uint8Array | undefined>([[FS_TREE_OBJECTID, TOP]]);
  const pathOf = (id: bigint): Uint8Array | undefined => {
    if (paths.has(id)) return paths.get(id);
    // Until it is known, it has none: that ends a ring.
    paths.set(id, undefined);
    const place = places.get(id);
    const above = place === undefined ? undefined : pathOf(place.parent);
    const inside = above === undefined ? undefined : directoryPath(native, fd, place!);
    if (inside === undefined) return undefined;
    const path = joinPath(inside.byteLength === 0 ? above! : joinPath(above!, inside), place!.name);
    paths.set(id, path);
    return path;
  };
  const listed: ListedSubvolume[] = [];
  for (const [id, item] of items) {
    if (item.refs === 0) continue;
    listed.push({ ...subvolumeInfo(id, item), place: places.get(id), path: pathOf(id) });
  }
  return listed;
}

/** From the root of its subvolume; `undefined` where it is gone. */
function directoryPath(native: Native, fd: number, { parent, directory }: SubvolumePlace): Uint8Array | undefined {
  try {
    return lookupInode(native, fd, parent, directory);
  } catch (error) {
    if (error instanceof BtrfsError) return undefined;
    throw error;
  }
}
