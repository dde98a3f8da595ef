import { BtrfsError } from "../errors.ts";
import { BLOCK_GROUP_DATA, BLOCK_GROUP_METADATA, BLOCK_GROUP_SYSTEM, PROFILES, type Profile } from "../format/chunk.ts";
import { type Chunk, ChunkMap } from "../volume/chunk-map.ts";
import { BlockGroup } from "./block-group.ts";
import { planChunk, type RoomyDevice } from "./device-space.ts";
import { RangeSet } from "./range-set.ts";

/** What the last commit says of the space in a chunk. */
export interface SpaceRecords {
  /** Bytes in extents, from the block group item. */
  usedIn(chunk: Chunk): Promise<number>;
  freeIn(chunk: Chunk): Promise<RangeSet>;
}

export interface SpaceOptions {
  readonly chunks: readonly Chunk[];
  readonly devices: readonly RoomyDevice[];
  /** Makes a device longer: called when no chunk fits any more. What it throws is the allocation's error. */
  readonly enlarge?: ((devid: number, totalBytes: number) => Promise<void>) | undefined;
  readonly nodeSize: number;
  readonly sectorSize: number;
  /** Data and metadata share chunks. */
  readonly mixed: boolean;
  /** Bytes in extents, of the last commit. */
  readonly bytesUsed: number;
  readonly records: SpaceRecords;
}

const LEAST_GROWTH = 1_048_576;

export type SpaceKind = "data" | "metadata" | "system";

/** Blocks that are kept for transactions that free space: to remove anything, tree blocks have to be copied first. */
const RESERVED_NODES = 256;
/** The part of all metadata that this is at most. */
const RESERVED_PART = 1 / 4;

/**
 * The one place that accounts for space: what is free, in use and pinned, chunk by chunk, from one commit to the next.
 * New chunks exist here at once; their items are written when the commit comes to it.
 */
export class Space {
  readonly options: SpaceOptions;
  readonly groups = new Map<Chunk, BlockGroup>();
  /** Chunks without items yet. */
  readonly newChunks: Chunk[] = [];
  /** Devices whose sizes the next commit changes, in bytes. */
  readonly resized = new Map<number, number>();
  chunks: ChunkMap;
  #devices: readonly RoomyDevice[];
  /** Bytes in extents, as the next commit will have it. */
  bytesUsed: number;
  /** The group that the last allocation of each kind came from. */
  readonly #current = new Map<SpaceKind, BlockGroup>();

  constructor(options: SpaceOptions) {
    this.options = options;
    this.chunks = new ChunkMap(options.chunks);
    this.#devices = options.devices;
    this.bytesUsed = options.bytesUsed;
  }

  /** Logical address for a new tree block: it stays in memory until the commit. */
  allocateNode(kind: "metadata" | "system"): number | Promise<number> {
    const { nodeSize } = this.options;
    return this.allocate(kind, nodeSize, nodeSize);
  }

  /**
   * Hands out `length` bytes in one piece.
   *
   * @throws {BtrfsError} `space`, when no chunk has them and none can be added.
   */
  allocate(kind: SpaceKind, length: number, align: number): number | Promise<number> {
    const start = this.#current.get(kind)?.take(length, align);
    if (start === undefined) return this.#search(kind, length, align);
    this.bytesUsed += length;
    return start;
  }

  /** As `allocate`, of data, and shorter where no piece is that long: of at least `least` bytes. */
  async allocateUpTo(length: number, least: number): Promise<{ start: number; length: number }> {
    const { sectorSize } = this.options;
    for (let wanted = length; ; ) {
      try {
        return { start: await this.allocate("data", wanted, sectorSize), length: wanted };
      } catch (error) {
        if (!(error instanceof BtrfsError) || error.code !== "space") throw error;
        const longest = await this.#longestFree("data");
        const next = Math.floor(Math.min(longest, wanted - sectorSize) / sectorSize) * sectorSize;
        if (next < least) throw error;
        wanted = next;
      }
    }
  }

  /**
   * Takes an extent back.
   *
   * @param pinned Whether the last commit, or a write that is under way, still needs its bytes.
   */
  async free(start: number, length: number, pinned: boolean): Promise<void> {
    const group = await this.#group(this.chunks.get(start, length));
    group.give(start, length, pinned);
    this.bytesUsed -= length;
  }

  /** Bytes of metadata that no extent has once the transaction is committed. */
  async metadataLeft(): Promise<number> {
    let left = 0;
    for (const chunk of this.#chunksFor("metadata")) left += chunk.length - (await this.#group(chunk)).used;
    return left;
  }

  /**
   * Sees that what a transaction leaves is enough for another one to free space.
   *
   * @param before `metadataLeft` at its begin: who leaves no less than that may go below the reserve.
   * @throws {BtrfsError} `space`.
   */
  async demandReserve(before: number): Promise<void> {
    if (this.options.enlarge !== undefined) return;
    const chunks = this.#chunksFor("metadata");
    const total = chunks.reduce((sum, { length }) => sum + length, 0);
    const reserve = Math.min(RESERVED_NODES * this.options.nodeSize, total * RESERVED_PART);
    const left = await this.metadataLeft();
    if (left >= reserve || left >= before || this.#planChunk("metadata", reserve) !== undefined) return;
    throw new BtrfsError(
      "space",
      `Cannot commit: it leaves ${left} bytes for metadata, ${reserve} are kept for removing things`,
    );
  }

  /** After a commit. */
  committed(): void {
    this.resized.clear();
    for (const group of this.groups.values()) group.unpin();
  }

  /** Chunks may be put on so many bytes of a device from now on; the next commit says so. */
  resize(devid: number, totalBytes: number): void {
    this.#devices = this.#devices.map((device) => (device.devid === devid ? { ...device, totalBytes } : device));
    this.resized.set(devid, totalBytes);
  }

  async #search(kind: SpaceKind, length: number, align: number): Promise<number> {
    for (const chunk of this.chunks.chunks) {
      if (!this.#suits(chunk, kind)) continue;
      if (chunk.length - (await this.#group(chunk)).used < length) continue;
      const group = await this.#loaded(chunk);
      const start = group.take(length, align);
      if (start !== undefined) return this.#found(kind, group, start, length);
    }
    const group = this.#addChunk(kind, length) ?? (await this.#enlarge(kind, length));
    const start = group?.take(length, align);
    if (start !== undefined) return this.#found(kind, group!, start, length);
    throw new BtrfsError(
      "space",
      `Cannot allocate ${length} bytes of ${kind}: no chunk has them in one piece, and no device has room for another`,
    );
  }

  #found(kind: SpaceKind, group: BlockGroup, start: number, length: number): number {
    this.#current.set(kind, group);
    this.bytesUsed += length;
    return start;
  }

  async #longestFree(kind: SpaceKind): Promise<number> {
    let longest = 0;
    for (const chunk of this.#chunksFor(kind)) longest = Math.max(longest, (await this.#loaded(chunk)).longestFree);
    return longest;
  }

  async #loaded(chunk: Chunk): Promise<BlockGroup> {
    const group = await this.#group(chunk);
    if (!group.isLoaded) group.load(await this.options.records.freeIn(chunk));
    return group;
  }

  #suits(chunk: Chunk, kind: SpaceKind): boolean {
    return chunk.type === this.#typeOf(kind);
  }

  #typeOf(kind: SpaceKind): number {
    if (kind === "system") return BLOCK_GROUP_SYSTEM;
    if (this.options.mixed) return BLOCK_GROUP_DATA | BLOCK_GROUP_METADATA;
    return kind === "data" ? BLOCK_GROUP_DATA : BLOCK_GROUP_METADATA;
  }

  async #group(chunk: Chunk): Promise<BlockGroup> {
    let group = this.groups.get(chunk);
    if (group !== undefined) return group;
    group = new BlockGroup(chunk, await this.options.records.usedIn(chunk));
    this.groups.set(chunk, group);
    return group;
  }

  #chunksFor(kind: SpaceKind): Chunk[] {
    return this.chunks.chunks.filter((chunk) => this.#suits(chunk, kind));
  }

  #planChunk(kind: SpaceKind, least: number): Chunk | undefined {
    return planChunk(this.chunks.chunks, this.#devices, this.#typeOf(kind), this.#profileOf(kind), least);
  }

  #addChunk(kind: SpaceKind, least: number): BlockGroup | undefined {
    const chunk = this.#planChunk(kind, least);
    if (chunk === undefined) return undefined;
    this.chunks = new ChunkMap([...this.chunks.chunks, chunk]);
    this.newChunks.push(chunk);
    const group = new BlockGroup(chunk, undefined);
    const free = new RangeSet();
    free.add(chunk.start, chunk.start + chunk.length);
    group.load(free);
    this.groups.set(chunk, group);
    return group;
  }

  /** A chunk on a device that is made longer for it: by a quarter, so that what is large is so in few steps. */
  async #enlarge(kind: SpaceKind, least: number): Promise<BlockGroup | undefined> {
    const device = this.#devices[0];
    if (this.options.enlarge === undefined || device === undefined || this.#devices.length > 1) return undefined;
    const { devid, totalBytes } = device;
    const more = Math.max(
      totalBytes / 4,
      LEAST_GROWTH,
      PROFILES[this.#profileOf(kind)].factor * (least + LEAST_GROWTH),
    );
    const enlarged = Math.ceil((totalBytes + more) / LEAST_GROWTH) * LEAST_GROWTH;
    await this.options.enlarge(devid, enlarged);
    this.resize(devid, enlarged);
    return this.#addChunk(kind, least);
  }

  /** The profile of the newest chunk of the kind. */
  #profileOf(kind: SpaceKind): Profile {
    const newest = this.chunks.chunks.findLast((chunk) => this.#suits(chunk, kind));
    return newest?.profile ?? "single";
  }
}
