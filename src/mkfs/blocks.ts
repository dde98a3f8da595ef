import type { Checksum } from "../checksum/checksum.ts";
import { BtrfsError } from "../errors.ts";
import { BLOCK_GROUP_METADATA } from "../format/chunk.ts";
import type { NodeBlock } from "../format/node.ts";
import { CHECKSUM_FIELD_BYTES } from "../format/superblock.ts";
import { checkNode } from "../tree/check.ts";
import type { NodeLimits } from "../tree/limits.ts";
import type { ImageWriter } from "./image-writer.ts";
import type { SingleDeviceProfile } from "./layout.ts";
import type { FillingChunk, Space } from "./space.ts";
import type { BlockTarget } from "./tree-writer.ts";

const BUFFER_BYTES = 1_048_576;
const NEXT_CHUNK_BYTES = 256 * 1_048_576;
/** A block of tree `trees[n >>> 3]` on level `n & 7`. */
const LEVEL_BITS = 3;

/** Tree blocks of a filesystem in the making, one behind the other, and what the extent tree has to know of them. */
export class Blocks {
  readonly #space: Space;
  readonly #writer: ImageWriter;
  readonly #profile: SingleDeviceProfile;
  readonly #limits: NodeLimits;
  readonly #checksum: Checksum;
  readonly #trees: bigint[] = [];
  readonly #placed = new Map<FillingChunk, number[]>();
  #chunk: FillingChunk;
  #buffer: Uint8Array;
  #buffered = 0;
  /** Address and chunk of the first block in the buffer. */
  #bufferAt = 0;
  #bufferChunk: FillingChunk;

  constructor(
    space: Space,
    writer: ImageWriter,
    profile: SingleDeviceProfile,
    limits: NodeLimits,
    checksum: Checksum,
    chunk: FillingChunk,
  ) {
    this.#space = space;
    this.#writer = writer;
    this.#profile = profile;
    this.#limits = limits;
    this.#checksum = checksum;
    this.#chunk = chunk;
    this.#bufferChunk = chunk;
    this.#buffer = new Uint8Array(Math.max(BUFFER_BYTES, limits.nodeSize));
  }

  /** The chunk of the moment. */
  get chunk(): FillingChunk {
    return this.#chunk;
  }

  /** Where the blocks of a tree go, in the chunk of the moment or in that one. */
  target(tree: bigint, chunk?: FillingChunk): BlockTarget {
    const number = this.#trees.push(tree) - 1;
    return {
      place: (level) => {
        const at = chunk ?? this.#withRoom(this.#limits.nodeSize);
        return this.#take(at, number, level);
      },
      put: (node) => this.#put(node),
    };
  }

  /** Takes the places of all blocks of a tree before it is written. @param levels In the order of the places. */
  reserve(tree: bigint, levels: readonly number[], chunk?: FillingChunk): BlockTarget {
    const number = this.#trees.push(tree) - 1;
    const into = chunk ?? this.#chunk;
    const places = levels.map((level) => this.#take(into, number, level));
    let next = 0;
    return {
      place: (level) => {
        if (levels[next] !== level)
          throw new RangeError(`Cannot place block ${next} of tree ${tree} on level ${level}`);
        return places[next++]!;
      },
      put: (node) => this.#put(node),
    };
  }

  /** Makes sure that the chunk of the moment has so many bytes left. */
  ensure(bytes: number): void {
    this.#withRoom(bytes);
  }

  /** Tree and level of each block of a chunk, in the order of their addresses. */
  *blocksOf(chunk: FillingChunk): Generator<{ readonly tree: bigint; readonly level: number }> {
    for (const packed of this.#placed.get(chunk) ?? []) {
      yield { tree: this.#trees[packed >>> LEVEL_BITS]!, level: packed & ((1 << LEVEL_BITS) - 1) };
    }
  }

  flush(): void {
    if (this.#buffered === 0) return;
    this.#writer.write(this.#bufferChunk, this.#bufferAt, this.#buffer.subarray(0, this.#buffered));
    this.#buffer = new Uint8Array(this.#buffer.byteLength);
    this.#buffered = 0;
  }

  #withRoom(bytes: number): FillingChunk {
    if (this.#chunk.length - this.#chunk.used >= bytes) return this.#chunk;
    for (let length = Math.max(NEXT_CHUNK_BYTES, bytes); ; length /= 2) {
      const chunk = length < bytes ? undefined : this.#space.add(BLOCK_GROUP_METADATA, this.#profile, length);
      if (chunk !== undefined && chunk.length >= bytes) {
        this.#chunk = chunk;
        return chunk;
      }
      if (length < bytes) {
        throw new BtrfsError(
          "space",
          `Cannot make filesystem: ${this.#space.limit} bytes are too few for its metadata`,
        );
      }
    }
  }

  #take(chunk: FillingChunk, tree: number, level: number): number {
    const { nodeSize } = this.#limits;
    if (chunk.length - chunk.used < nodeSize) {
      throw new BtrfsError(
        "space",
        `Cannot make filesystem: a chunk of ${chunk.length} bytes is too small for its tree`,
      );
    }
    const logical = chunk.start + chunk.used;
    chunk.used += nodeSize;
    const placed = this.#placed.get(chunk);
    const packed = tree * (1 << LEVEL_BITS) + level;
    if (placed === undefined) this.#placed.set(chunk, [packed]);
    else placed.push(packed);
    return logical;
  }

  #put(node: NodeBlock): void {
    const { generation, nodeSize } = this.#limits;
    const { logical, level, owner } = node;
    checkNode(node, logical, { level, generation, owner }, this.#limits);
    const chunk = this.#chunkOf(logical);
    const isNext = chunk === this.#bufferChunk && logical === this.#bufferAt + this.#buffered;
    if (!isNext || this.#buffered + nodeSize > this.#buffer.byteLength) this.flush();
    if (this.#buffered === 0) {
      this.#bufferAt = logical;
      this.#bufferChunk = chunk;
    }
    const copy = this.#buffer.subarray(this.#buffered, this.#buffered + nodeSize);
    copy.set(node.bytes);
    this.#checksum.compute(copy.subarray(CHECKSUM_FIELD_BYTES), copy);
    this.#buffered += nodeSize;
  }

  #chunkOf(logical: number): FillingChunk {
    const holds = ({ start, length }: FillingChunk): boolean => start <= logical && logical < start + length;
    if (holds(this.#chunk)) return this.#chunk;
    return this.#space.chunks.find(holds)!;
  }
}
