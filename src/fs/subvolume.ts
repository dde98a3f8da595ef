import { isZeroUuid } from "../bytes/uuid.ts";
import { BtrfsError } from "../errors.ts";
import { keyOf } from "../format/key.ts";
import { INODE_ITEM } from "../format/key-type.ts";
import { itemBytes } from "../format/node.ts";
import { EMPTY_SUBVOL_DIR_OBJECTID, FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import { ROOT_SUBVOL_RDONLY, type RootItem } from "../format/root.ts";
import type { NodeTree } from "../tree/tree.ts";
import type { Filesystem } from "./filesystem.ts";
import { decodeStat, Inode, type InodeStat, nanoseconds, type Way } from "./inode.ts";

/** What the root item of a subvolume says. Times are nanoseconds since 1970, 0 where there is none. */
export interface SubvolumeInfo {
  readonly id: bigint;
  /** Of its last change; that of its root node. */
  readonly generation: bigint;
  readonly readOnly: boolean;
  /** Absent where it is all zeros, as that of the top level of old filesystems. */
  readonly uuid: Uint8Array | undefined;
  /** Of what it is a snapshot of. */
  readonly parentUuid: Uint8Array | undefined;
  /** What it had where it was sent from, when it was received. */
  readonly receivedUuid: Uint8Array | undefined;
  /** Generations: last change of an inode, creation, on the sending side, of the receiving. */
  readonly ctransid: bigint;
  readonly otransid: bigint;
  readonly stransid: bigint;
  readonly rtransid: bigint;
  readonly ctime: bigint;
  readonly otime: bigint;
  readonly stime: bigint;
  readonly rtime: bigint;
}

/** One tree of files: a subvolume or a snapshot, which is the same. */
export class Subvolume {
  readonly filesystem: Filesystem;
  readonly tree: NodeTree;
  readonly info: SubvolumeInfo;

  constructor(filesystem: Filesystem, tree: NodeTree, info: SubvolumeInfo) {
    this.filesystem = filesystem;
    this.tree = tree;
    this.info = info;
  }

  get id(): bigint {
    return this.info.id;
  }

  /** Its root directory. @param way How it was reached. */
  root(way?: Way): Promise<Inode> {
    return this.inode(FIRST_FREE_OBJECTID, way);
  }

  /**
   * What has this inode number.
   *
   * @param way How it was reached.
   * @throws {BtrfsError} `missing`.
   */
  async inode(number: bigint, way?: Way): Promise<Inode> {
    const span = await this.tree.find(keyOf(number, INODE_ITEM, 0n), "exact");
    if (span === undefined) {
      throw new BtrfsError("missing", "Cannot find inode: there is none of this number", {
        where: { tree: this.id, inode: number },
      });
    }
    const { leaf, first } = span;
    return new Inode(this, number, decodeStat(itemBytes(leaf, first), leaf.where), way);
  }

  /** The empty directory that a kernel shows where a snapshot has no copy of a nested subvolume. */
  placeholder({ stat }: Inode, way: Way | undefined): Inode {
    const { uid, gid, generation, transid, atime, ctime, mtime, otime } = stat;
    const none = { size: 0n, nbytes: 0n, nlink: 1, rdev: undefined, flags: 0n, sequence: 0n };
    const times = { generation, transid, atime, ctime, mtime, otime };
    const own: InodeStat = { kind: "directory", mode: 0o755, uid, gid, ...none, ...times };
    return new Inode(this, EMPTY_SUBVOL_DIR_OBJECTID, own, way);
  }
}

export function subvolumeInfo(id: bigint, item: InstanceType<typeof RootItem>): SubvolumeInfo {
  const uuid = (bytes: Uint8Array) => (isZeroUuid(bytes) ? undefined : bytes);
  return {
    id,
    generation: item.generation,
    readOnly: (item.flags & ROOT_SUBVOL_RDONLY) !== 0n,
    uuid: uuid(item.uuid),
    parentUuid: uuid(item.parentUuid),
    receivedUuid: uuid(item.receivedUuid),
    ctransid: item.ctransid,
    otransid: item.otransid,
    stransid: item.stransid,
    rtransid: item.rtransid,
    ctime: nanoseconds(item.ctime),
    otime: nanoseconds(item.otime),
    stime: nanoseconds(item.stime),
    rtime: nanoseconds(item.rtime),
  };
}
