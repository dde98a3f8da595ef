import type { Checksum } from "../checksum/checksum.ts";
import { isStore } from "../device/slice.ts";
import type { ByteStore } from "../device/source.ts";
import { BtrfsError } from "../errors.ts";
import { keyOf, MAX_U64 } from "../format/key.ts";
import { ROOT_ITEM } from "../format/key-type.ts";
import { itemBytes, itemWhere, type NodeBlock, slotKey } from "../format/node.ts";
import { CHUNK_TREE_OBJECTID, CSUM_TREE_OBJECTID, ROOT_TREE_OBJECTID } from "../format/objectid.ts";
import { decodeRootItem } from "../format/root.ts";
import type { NodeLimits } from "../tree/limits.ts";
import type { KnownLeaf } from "../tree/same-items.ts";
import type { LeavesAhead, LogicalSource, NodeExpectation, TreeRoot } from "../tree/source.ts";
import { NodeTree } from "../tree/tree.ts";
import { ChecksumTree, type SectorChecksums } from "./checksum-tree.ts";
import type { ChunkMap } from "./chunk-map.ts";
import { DataReader, type DataReadOptions } from "./data-reader.ts";
import type { VolumeDevice } from "./devices.ts";
import type { OnEvent } from "./events.ts";
import { type Mirror, Mirrors } from "./mirrors.ts";
import { NodeReader } from "./node-reader.ts";
import { chooseRoot, rootOfItem } from "./roots.ts";
import type { SuperblockView } from "./superblock.ts";

interface VolumeParts {
  readonly superblock: SuperblockView;
  readonly devices: ReadonlyMap<number, VolumeDevice>;
  readonly checksum: Checksum;
  readonly limits: NodeLimits;
  readonly mirrors: Mirrors;
  readonly nodes: NodeReader;
  readonly chunkTree: NodeTree;
  readonly rootTree: NodeTree;
  readonly onEvent: OnEvent;
}

/** An open filesystem as logical bytes: tree blocks and data, each verified, from whichever copy is good. */
export class Volume implements LogicalSource {
  readonly superblock: SuperblockView;
  /** By device id; missing ones too. */
  readonly devices: ReadonlyMap<number, VolumeDevice>;
  readonly checksum: Checksum;
  readonly limits: NodeLimits;
  readonly chunkTree: NodeTree;
  readonly rootTree: NodeTree;
  readonly #mirrors: Mirrors;
  readonly #nodes: NodeReader;
  readonly #data: DataReader;
  readonly #onEvent: OnEvent;
  #checksums: Promise<ChecksumTree> | undefined;
  #openChecksums: ChecksumTree | undefined;

  constructor(parts: VolumeParts) {
    this.superblock = parts.superblock;
    this.devices = parts.devices;
    this.checksum = parts.checksum;
    this.limits = parts.limits;
    this.chunkTree = parts.chunkTree;
    this.rootTree = parts.rootTree;
    this.#mirrors = parts.mirrors;
    this.#nodes = parts.nodes;
    this.#onEvent = parts.onEvent;
    this.#data = new DataReader(parts.mirrors, parts.checksum, parts.limits.sectorSize, parts.onEvent);
  }

  /** Bytes. */
  get sectorSize(): number {
    return this.limits.sectorSize;
  }

  /** Bytes. */
  get nodeSize(): number {
    return this.limits.nodeSize;
  }

  /** Of the commit that is shown: older than the superblock's when an older root was asked for. */
  get generation(): number {
    return this.rootTree.root.generation;
  }

  get chunks(): ChunkMap {
    return this.#mirrors.chunks;
  }

  readNode(logical: number, expect: NodeExpectation): Promise<NodeBlock> {
    return this.#nodes.readNode(logical, expect);
  }

  cached(logical: number, expect: NodeExpectation): NodeBlock | undefined {
    return this.#nodes.cached(logical, expect);
  }

  readNow(logical: number, expect: NodeExpectation): NodeBlock | undefined {
    return this.#nodes.readNow(logical, expect);
  }

  lend(logical: number, expect: NodeExpectation, bytes: Uint8Array, known?: KnownLeaf): NodeBlock | undefined {
    return this.#nodes.lend(logical, expect, bytes, known);
  }

  takeBack(bytes: Uint8Array): void {
    this.#nodes.takeBack(bytes);
  }

  /** A leaf that is lent, to be looked at before the next call. */
  lentNow(logical: number, generation: number): NodeBlock | undefined {
    return this.#nodes.lentNow(logical, generation);
  }

  /** Lends leaves that another thread has read, as far as it has. */
  lendFrom(ahead: LeavesAhead): void {
    this.#nodes.ahead = ahead;
  }

  prefetch(logicals: readonly number[]): void {
    this.#nodes.prefetch(logicals);
  }

  /**
   * Where a tree starts, from its root item; `undefined` when there is no such tree.
   *
   * @throws {CorruptError}
   */
  async findRoot(id: bigint): Promise<TreeRoot | undefined> {
    const span = await this.rootTree.find(keyOf(id, ROOT_ITEM, MAX_U64), "atOrBefore");
    if (span === undefined) return undefined;
    const { leaf, first } = span;
    const { objectid, type } = slotKey(leaf, first);
    if (objectid !== id || type !== ROOT_ITEM) return undefined;
    const where = itemWhere(leaf, first);
    return rootOfItem(id, decodeRootItem(itemBytes(leaf, first), where), this.sectorSize, where);
  }

  /** The tree with this object id. @throws {BtrfsError} `missing`, when there is none. */
  async openTree(id: bigint): Promise<NodeTree> {
    if (id === ROOT_TREE_OBJECTID) return this.rootTree;
    if (id === CHUNK_TREE_OBJECTID) return this.chunkTree;
    const root = await this.findRoot(id);
    if (root === undefined)
      throw new BtrfsError("missing", "Cannot find tree: it has no root item", { where: { tree: id } });
    return NodeTree.open(this, root);
  }

  /**
   * Checksums of data, sector by sector. A promise only where the tree has to be read.
   *
   * @param logical In whole sectors, as `length` is.
   */
  readChecksums(logical: number, length: number): SectorChecksums | Promise<SectorChecksums> {
    if (this.#openChecksums !== undefined) return this.#openChecksums.read(logical, length);
    return this.#openChecksumTree().then((tree) => tree.read(logical, length));
  }

  /**
   * Fills `target` with the data at `logical`, as it is stored.
   *
   * @throws {BtrfsError} for what no copy has, unless `options.onUnreadable` takes it.
   */
  readData(logical: number, target: Uint8Array, options?: DataReadOptions): Promise<void> {
    return this.#data.read(logical, target, options);
  }

  /**
   * As `readData`, without waiting, where the data is good and the host has it at hand; `false` says nothing of `target`.
   */
  readDataNow(logical: number, target: Uint8Array, checksums: SectorChecksums | undefined): boolean {
    return this.#data.readNow(logical, target, checksums);
  }

  /**
   * Every way to read a logical range that lies within one stripe: stored copies, missing ones too, then rebuilt ones.
   *
   * @throws {CorruptError} when no chunk has the range or it crosses stripes.
   */
  copiesOf(logical: number, length: number): Mirror[] {
    return this.#mirrors.of(logical, length);
  }

  /** Largest number of bytes from `logical` that lie within one stripe. */
  contiguousAt(logical: number): number {
    return this.#mirrors.contiguousAt(logical);
  }

  /** Reads what one copy has, unverified. */
  async readCopy(copy: Mirror, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    await this.#mirrors.read(copy, target, signal, false);
  }

  /** The node as one copy has it. @throws {BtrfsError} when it is not what `expect` says. */
  readNodeCopy(copy: Mirror, expect: NodeExpectation): Promise<NodeBlock> {
    return this.#nodes.readMirror(copy, expect);
  }

  /**
   * Writes good bytes over one stored copy. Durable after the device's `flush`.
   *
   * @throws {BtrfsError} `permission`, when the device was not opened for writing.
   */
  async writeCopy(copy: Mirror, data: Uint8Array): Promise<void> {
    if (copy.kind !== "stored" || data.byteLength !== copy.lengthBytes) {
      throw new RangeError(`Cannot write ${data.byteLength} bytes over a ${copy.kind} copy of ${copy.lengthBytes}`);
    }
    await this.#store(copy).write(copy.physical, data);
  }

  /** Makes all that was written to the devices durable. */
  async flush(): Promise<void> {
    for (const { source } of this.devices.values()) if (source !== undefined && isStore(source)) await source.flush();
  }

  /**
   * The same devices as of a later commit. What was read of them stays in memory; this volume goes on showing what was
   * before, as long as nothing is written over it.
   *
   * @param written Tree blocks of the commit.
   * @param resized Sizes of devices that the commit changed, in bytes.
   */
  async after(
    superblock: SuperblockView,
    chunks: ChunkMap,
    written: Iterable<NodeBlock>,
    resized: ReadonlyMap<number, number>,
  ): Promise<Volume> {
    const { checksum } = this;
    const devices = new Map(this.devices);
    for (const [devid, totalBytes] of resized) devices.set(devid, { ...devices.get(devid)!, totalBytes });
    const limits: NodeLimits = { ...this.limits, generation: Number(superblock.generation) };
    const mirrors = new Mirrors(chunks, devices);
    const nodes = new NodeReader(mirrors, checksum, limits, this.#nodes.cache, this.#onEvent);
    for (const node of written) nodes.cache.put(node);
    const chunkTree = await NodeTree.open(nodes, {
      id: CHUNK_TREE_OBJECTID,
      logical: Number(superblock.chunkRoot),
      level: superblock.chunkRootLevel,
      generation: Number(superblock.chunkRootGeneration),
    });
    const rootTree = await NodeTree.open(nodes, chooseRoot(superblock, {}));
    return new Volume({
      superblock,
      devices,
      checksum,
      limits,
      mirrors,
      nodes,
      chunkTree,
      rootTree,
      onEvent: this.#onEvent,
    });
  }

  /** Closes the devices. */
  async close(): Promise<void> {
    for (const { source } of this.devices.values()) await source?.close?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #store(copy: Mirror): ByteStore {
    const source = this.#mirrors.source(copy.devid, copy);
    if (isStore(source)) return source;
    throw new BtrfsError("permission", "Cannot write: the device is open for reading only", {
      where: this.#mirrors.where(copy),
    });
  }

  #openChecksumTree(): Promise<ChecksumTree> {
    this.#checksums ??= this.openTree(CSUM_TREE_OBJECTID).then((tree) => {
      this.#openChecksums = new ChecksumTree(tree, this.sectorSize, this.checksum.byteLength);
      return this.#openChecksums;
    });
    return this.#checksums;
  }
}
