import { toBytes, viewOf } from "../bytes/bytes.ts";
import { FT_DIR } from "../format/dir-item.ts";
import { compareKeys, keyOf, MAX_U64 } from "../format/key.ts";
import * as types from "../format/key-type.ts";
import * as ids from "../format/objectid.ts";
import { ROOT_SUBVOL_RDONLY, RootRef } from "../format/root.ts";

import { bytesOf } from "../transaction/chunk-items.ts";
import {
  encodeDirEntry,
  encodeInodeRef,
  initSubvolumeRoot,
  newDirectoryInode,
  newRootItem,
} from "../transaction/new-items.ts";
import { nameHash } from "../tree/hash.ts";
import { type Item, item } from "./item.ts";
import type { Recipe } from "./recipe.ts";
import type { TreeRoot } from "./tree-writer.ts";

const DEFAULT = toBytes("default");
const PARENT = toBytes("..");

/** A subvolume of a new filesystem, beside the top-level one. */
export interface MadeSubvolume {
  readonly id: bigint;
  readonly uuid: Uint8Array;
  readonly readOnly: boolean;
  readonly isDefault: boolean;
  /** Subvolume, directory, index and name under which it lies. */
  readonly parent: bigint;
  readonly directory: number;
  readonly index: number;
  readonly name: Uint8Array;
}

/** @param roots Trees that get a root item. */
export function rootTreeItems(
  recipe: Recipe,
  roots: ReadonlyMap<bigint, TreeRoot>,
  subvolumes: readonly MadeSubvolume[],
): Item[] {
  const { generation, nodeSize, now } = recipe;
  const byId = new Map(subvolumes.map((subvolume) => [subvolume.id, subvolume]));
  const items = [...roots].map(([id, { logical, level, blocks }]) => {
    const root = newRootItem({ logical, level, generation, nodeSize });
    root.bytesUsed = BigInt(blocks * nodeSize);
    const subvolume = byId.get(id);
    if (id === ids.FS_TREE_OBJECTID) initSubvolumeRoot(root, recipe.subvolumeUuid, generation, now);
    if (id === ids.DATA_RELOC_TREE_OBJECTID) root.rootDirid = 256n;
    if (subvolume !== undefined) {
      initSubvolumeRoot(root, subvolume.uuid, generation, now);
      if (subvolume.readOnly) root.flags = ROOT_SUBVOL_RDONLY;
    }
    return item(id, types.ROOT_ITEM, 0n, bytesOf(root));
  });
  for (const subvolume of subvolumes) {
    const data = encodeRootRef(subvolume);
    items.push(item(subvolume.parent, types.ROOT_REF, subvolume.id, data));
    items.push(item(subvolume.id, types.ROOT_BACKREF, subvolume.parent, data));
  }
  const top = subvolumes.find(({ isDefault }) => isDefault)?.id ?? ids.FS_TREE_OBJECTID;
  items.push(
    item(ids.FS_TREE_OBJECTID, types.INODE_REF, ids.ROOT_TREE_DIR_OBJECTID, encodeInodeRef(0n, DEFAULT)),
    item(ids.ROOT_TREE_DIR_OBJECTID, types.INODE_ITEM, 0n, bytesOf(newDirectoryInode(0o755, generation, now))),
    item(ids.ROOT_TREE_DIR_OBJECTID, types.INODE_REF, ids.ROOT_TREE_DIR_OBJECTID, encodeInodeRef(0n, PARENT)),
    item(
      ids.ROOT_TREE_DIR_OBJECTID,
      types.DIR_ITEM,
      BigInt(nameHash(DEFAULT)),
      encodeDirEntry(keyOf(top, types.ROOT_ITEM, MAX_U64), 0n, FT_DIR, DEFAULT),
    ),
  );
  return items.sort((a, b) => compareKeys(a.key, b.key));
}

function encodeRootRef({ directory, index, name }: MadeSubvolume): Uint8Array {
  const data = new Uint8Array(RootRef.byteLength + name.byteLength);
  const ref = new RootRef(viewOf(data));
  ref.dirid = BigInt(directory);
  ref.sequence = BigInt(index);
  ref.nameLen = name.byteLength;
  data.set(name, RootRef.byteLength);
  return data;
}
