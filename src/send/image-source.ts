import { BtrfsError, UnsupportedError } from "../errors.ts";
import { BLOCK_GROUP_DATA } from "../format/chunk.ts";
import { keyOf, MAX_U64 } from "../format/key.ts";
import { ROOT_BACKREF, ROOT_ITEM } from "../format/key-type.ts";
import { itemBytes, itemWhere, type NodeBlock, slotKey } from "../format/node.ts";
import { EXTENT_TREE_OBJECTID, FS_TREE_OBJECTID, isSubvolumeId } from "../format/objectid.ts";
import { decodeRootItem, decodeRootRef, ROOT_SUBVOL_RDONLY, type RootItem } from "../format/root.ts";
import type { BlockTree, LeavesAhead, Tree } from "../tree/source.ts";
import type { Volume } from "../volume/volume.ts";
import type { ChunkFiller } from "./chunk.ts";
import { type CopyBytes, DataFiller } from "./fill.ts";
import { ImageData } from "./image-data.ts";
import { Snapshot } from "./snapshot.ts";
import type { BlockSource, SendSource } from "./source.ts";

/** Trees of other subvolumes that back references led to. */
const MAX_TREES = 64;

/** What other threads do for this one. */
interface SendHelp {
  readonly ahead?: LeavesAhead | undefined;
  /** Puts bytes into their chunks. */
  readonly copy?: CopyBytes | undefined;
  filler(local: ChunkFiller): ChunkFiller;
}

/** Snapshots of an image, to send. */
export class ImageSource implements SendSource {
  readonly #volume: Volume;
  readonly blocks: BlockSource;
  readonly #threads: SendHelp | undefined;
  readonly #trees = new Map<bigint, Promise<BlockTree | undefined>>();
  /** Those of snapshots: what they lent is found by all who look there. */
  readonly #snapshotTrees = new Map<bigint, BlockTree>();
  #extentTree: Promise<Tree> | undefined;

  /** @param threads Fill chunks in place of this thread. */
  constructor(volume: Volume, threads?: SendHelp) {
    this.#volume = volume;
    this.#threads = threads;
    if (threads?.ahead !== undefined) volume.lendFrom(threads.ahead);
    this.blocks = {
      ahead: threads?.ahead,
      lentNow: (logical, generation) => volume.lentNow(logical, generation),
      extentTree: () => (this.#extentTree ??= volume.openTree(EXTENT_TREE_OBJECTID)),
      findTree: (id) => this.#findTree(id),
      blockNow: (logical, level, generation) => this.#blockNow(logical, level, generation),
      readBlock: (logical, level, generation) => this.#readBlock(logical, level, generation),
    };
  }

  get sectorSize(): number {
    return this.#volume.sectorSize;
  }

  get nodeSize(): number {
    return this.#volume.nodeSize;
  }

  /**
   * @throws {BtrfsError} `missing`, when there is none; `permission`, when it can be written to; `unsupported` for the
   * top-level subvolume, which has no name, and for what can be written to while a log tree waits to be replayed.
   */
  async openSnapshot(id: bigint, mayBeWritable = false): Promise<Snapshot> {
    const item = isSubvolumeId(id) ? await this.#findRootItem(id) : undefined;
    const where = { tree: id };
    if (item === undefined || item.refs === 0) {
      throw new BtrfsError("missing", "Cannot send subvolume: there is none of this id", { where });
    }
    const isReadOnly = (item.flags & ROOT_SUBVOL_RDONLY) !== 0n;
    if (!isReadOnly && !mayBeWritable) {
      throw new BtrfsError("permission", "Cannot send subvolume: it is not read-only", { where });
    }
    if (id === FS_TREE_OBJECTID)
      throw new UnsupportedError("Cannot send the top-level subvolume: it has no name", where);
    if (!isReadOnly && this.#hasLog) {
      const wanted = "expected none for a writable subvolume; mount it once, and the kernel does it";
      throw new UnsupportedError(`Cannot send subvolume: a log tree waits to be replayed, ${wanted}`, where);
    }
    const { uuid, receivedUuid, ctransid } = item;
    const tree = this.#snapshotTrees.get(id) ?? (await this.#volume.openTree(id));
    this.#snapshotTrees.set(id, tree);
    return new Snapshot({ id, tree, name: await this.#nameOf(id), uuid, receivedUuid, ctransid, isReadOnly });
  }

  /** What was synced after the last commit is only there; an older root is asked for without it. */
  get #hasLog(): boolean {
    const { superblock, generation } = this.#volume;
    return superblock.logRoot !== 0n && generation === Number(superblock.generation);
  }

  async #nameOf(id: bigint): Promise<Uint8Array> {
    const range = { first: keyOf(id, ROOT_BACKREF, 0n), last: keyOf(id, ROOT_BACKREF + 1, 0n) };
    for await (const { leaf, first } of this.#volume.rootTree.leaves(range)) {
      return decodeRootRef(itemBytes(leaf, first), itemWhere(leaf, first)).name.slice();
    }
    throw new BtrfsError("missing", "Cannot send subvolume: it has no name", { where: { tree: id } });
  }

  async #findRootItem(id: bigint): Promise<InstanceType<typeof RootItem> | undefined> {
    const span = await this.#volume.rootTree.find(keyOf(id, ROOT_ITEM, MAX_U64), "atOrBefore");
    if (span === undefined) return undefined;
    const { objectid, type } = slotKey(span.leaf, span.first);
    if (objectid !== id || type !== ROOT_ITEM) return undefined;
    return decodeRootItem(itemBytes(span.leaf, span.first), itemWhere(span.leaf, span.first));
  }

  filler(_snapshot?: Snapshot, alone = false): ChunkFiller {
    const threads = alone ? undefined : this.#threads;
    const local = new DataFiller(new ImageData(this.#volume), threads?.copy);
    return threads?.filler(local) ?? local;
  }

  isData(logical: number, length: number): boolean {
    const chunk = this.#volume.chunks.find(logical);
    if (chunk === undefined || (chunk.type & BLOCK_GROUP_DATA) === 0) return false;
    return logical + length <= chunk.start + chunk.length;
  }

  #findTree(id: bigint): Promise<BlockTree | undefined> {
    const open = this.#trees.get(id);
    if (open !== undefined) return open;
    if (this.#trees.size >= MAX_TREES) this.#trees.delete(this.#trees.keys().next().value!);
    const opening = this.#openTree(id);
    this.#trees.set(id, opening);
    return opening;
  }

  async #openTree(id: bigint): Promise<BlockTree | undefined> {
    if (!isSubvolumeId(id)) return undefined;
    const tree = this.#snapshotTrees.get(id);
    if (tree !== undefined) return tree;
    return (await this.#volume.findRoot(id)) === undefined ? undefined : this.#volume.openTree(id);
  }

  async #readBlock(logical: number, level: number, generation: number): Promise<NodeBlock> {
    const now = this.#blockNow(logical, level, generation);
    return now ?? (await this.#volume.readNode(logical, { level, generation, owner: 0n }));
  }

  #blockNow(logical: number, level: number, generation: number): NodeBlock | undefined {
    const expect = { level, generation, owner: 0n };
    return this.#volume.cached(logical, expect) ?? this.#volume.readNow(logical, expect);
  }
}
