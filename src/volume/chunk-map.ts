import { equalBytes } from "../bytes/bytes.ts";
import { toSafe } from "../bytes/u64.ts";
import { BtrfsError, CorruptError, type Where } from "../errors.ts";
import {
  BLOCK_GROUP_DATA,
  BLOCK_GROUP_METADATA,
  BLOCK_GROUP_SYSTEM,
  BLOCK_GROUP_TYPE_MASK,
  ChunkItem,
  PROFILES,
  type Profile,
  STRIPE_BYTES,
  Stripe,
} from "../format/chunk.ts";

/** Where on one device a chunk's stripe lies. */
export interface ChunkStripe {
  readonly devid: number;
  /** Byte offset on the device. */
  readonly physical: number;
  readonly deviceUuid: Uint8Array;
}

/** A logical range and the stripes that hold it. All of it has been checked. */
export interface Chunk {
  /** Logical address in bytes. */
  readonly start: number;
  /** Logical bytes. */
  readonly length: number;
  /** `BLOCK_GROUP_DATA`, `_METADATA`, `_SYSTEM`, or the first two together. */
  readonly type: number;
  readonly profile: Profile;
  readonly stripes: readonly ChunkStripe[];
  /** Stripes of a row with bytes of their own: neither copies nor parity. 1 where there are no rows. */
  readonly dataStripes: number;
  /** Bytes of each stripe. */
  readonly stripeLength: number;
}

/** What the superblock says that every chunk has to agree with. */
export interface ChunkLimits {
  readonly sectorSize: number;
  readonly mixedGroups: boolean;
}

const MAX_CHUNK_BYTES = 2 ** 48;
const PROFILE_BY_BIT: ReadonlyMap<bigint, Profile> = new Map(
  Object.entries(PROFILES).map(([profile, { bit }]) => [BigInt(bit), profile as Profile]),
);
const TYPES: ReadonlySet<number> = new Set([BLOCK_GROUP_DATA, BLOCK_GROUP_METADATA, BLOCK_GROUP_SYSTEM]);

/** Bytes of a chunk item with so many stripes. */
export function chunkItemBytes(numStripes: number): number {
  return ChunkItem.byteLength + numStripes * Stripe.byteLength;
}

/**
 * Decodes and checks a chunk item: after this, nothing divides by zero or points outside of 2^53.
 *
 * @param start The key's offset.
 * @param size Bytes of the item, which begins at byte `at` of `view`.
 * @param whereOf Its place, for an error: there are thousands of chunks.
 * @param like A chunk whose device UUIDs may be the same: they are shared.
 * @throws {CorruptError}
 */
export function decodeChunk(
  start: bigint,
  view: DataView,
  at: number,
  size: number,
  limits: ChunkLimits,
  whereOf: () => Where,
  like?: Chunk,
): Chunk {
  const fail = (problem: string): never => {
    throw new CorruptError(`Cannot trust chunk at ${start}: ${problem}`, whereOf());
  };
  const { byteLength } = ChunkItem;
  if (size < byteLength) fail(`item has ${size} bytes, expected at least ${byteLength}`);
  const item = new ChunkItem(view, at);
  const numStripes = item.numStripes;
  if (size !== chunkItemBytes(numStripes)) {
    fail(`item has ${size} bytes, ${numStripes} stripes need ${chunkItemBytes(numStripes)}`);
  }
  if (item.stripeLen !== BigInt(STRIPE_BYTES)) fail(`stripe length is ${item.stripeLen}, expected 65536`);
  const length = item.length;
  const sector = BigInt(limits.sectorSize);
  if (length === 0n || length % sector !== 0n || length >= BigInt(MAX_CHUNK_BYTES)) {
    fail(`length is ${length}, expected a multiple of ${sector} below 2^48`);
  }
  if (start % sector !== 0n || start + length > BigInt(Number.MAX_SAFE_INTEGER)) {
    fail(`it ends at ${start + length}, expected a multiple of ${sector} below 2^53`);
  }
  const type = checkType(item.type, limits, fail);
  const profile = checkProfile(item.type, numStripes, item.subStripes, fail);
  const { factor, parity, striped } = PROFILES[profile];
  const dataStripes = striped ? (numStripes - parity) / factor : 1;
  const stripeLength = striped
    ? Math.ceil(Number(length) / (dataStripes * STRIPE_BYTES)) * STRIPE_BYTES
    : Number(length);
  const stripes: ChunkStripe[] = [];
  for (let index = 0; index < numStripes; index++) {
    const stripe = new Stripe(view, at + chunkItemBytes(index));
    const { offset } = stripe;
    if (offset % sector !== 0n || offset + BigInt(stripeLength) > BigInt(Number.MAX_SAFE_INTEGER)) {
      fail(`stripe ${index} lies at ${offset}, expected a multiple of ${sector} below 2^53`);
    }
    const uuid = stripe.devUuid;
    const known = like?.stripes[index]?.deviceUuid;
    const deviceUuid = known !== undefined && equalBytes(known, uuid) ? known : uuid.slice();
    stripes.push({ devid: toSafe(stripe.devid, "device id"), physical: Number(offset), deviceUuid });
  }
  return { start: Number(start), length: Number(length), type, profile, stripes, dataStripes, stripeLength };
}

function checkType(flags: bigint, limits: ChunkLimits, fail: (problem: string) => never): number {
  const type = Number(flags & BigInt(BLOCK_GROUP_TYPE_MASK));
  const mixed = limits.mixedGroups && type === (BLOCK_GROUP_DATA | BLOCK_GROUP_METADATA);
  if (!TYPES.has(type) && !mixed) fail(`type is ${type}, expected one of data, metadata and system`);
  return type;
}

function checkProfile(
  flags: bigint,
  numStripes: number,
  subStripes: number,
  fail: (problem: string) => never,
): Profile {
  const profile = PROFILE_BY_BIT.get(flags & ~BigInt(BLOCK_GROUP_TYPE_MASK));
  if (profile === undefined) return fail(`its flags are 0x${flags.toString(16)}, expected one known profile at most`);
  const { minStripes, maxStripes, factor, striped } = PROFILES[profile];
  if (numStripes < minStripes || numStripes > maxStripes || (striped && numStripes % factor !== 0)) {
    fail(`${profile} has ${numStripes} stripes, expected ${minStripes} to ${maxStripes} in groups of ${factor}`);
  }
  if (profile === "raid10" && subStripes !== 2) fail(`raid10 has ${subStripes} sub-stripes, expected 2`);
  return profile;
}

/** The chunks of a filesystem, by logical address. */
export class ChunkMap {
  /** In order of their addresses. */
  readonly chunks: readonly Chunk[];
  #last: Chunk | undefined;

  /** @throws {CorruptError} when two overlap. */
  constructor(chunks: readonly Chunk[]) {
    this.chunks = [...chunks].sort((a, b) => a.start - b.start);
    for (let index = 1; index < this.chunks.length; index++) {
      const before = this.chunks[index - 1]!;
      const chunk = this.chunks[index]!;
      if (before.start + before.length > chunk.start) {
        throw new CorruptError(
          `Cannot trust chunk at ${chunk.start}: the one before it ends at ${before.start + before.length}`,
          { logical: chunk.start },
        );
      }
    }
  }

  /** The chunk with this logical address. */
  find(logical: number): Chunk | undefined {
    const last = this.#last;
    if (last !== undefined && logical >= last.start && logical < last.start + last.length) return last;
    let low = 0;
    let high = this.chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.chunks[middle]!.start <= logical) low = middle + 1;
      else high = middle;
    }
    const chunk = this.chunks[low - 1];
    if (chunk === undefined || logical >= chunk.start + chunk.length) return undefined;
    this.#last = chunk;
    return chunk;
  }

  /** @throws {CorruptError} when no chunk has this logical address, or it has and ends within `length` bytes. */
  get(logical: number, length = 1): Chunk {
    const chunk = this.find(logical);
    if (chunk === undefined) throw new CorruptError("Cannot find address: no chunk has it", { logical });
    if (logical + length > chunk.start + chunk.length) {
      throw new CorruptError(`Cannot read ${length} bytes: the chunk ends at ${chunk.start + chunk.length}`, {
        logical,
      });
    }
    return chunk;
  }
}

/**
 * Checks that stripes lie inside of their devices and apart from each other.
 *
 * @param sizeOf Bytes of a device; `undefined` where it is not known.
 * @throws {CorruptError}
 */
export function checkStripes(chunks: readonly Chunk[], sizeOf: (devid: number) => number | undefined): void {
  const extents: { devid: number; start: number; end: number; chunk: Chunk }[] = [];
  for (const chunk of chunks) {
    for (const { devid, physical } of chunk.stripes) {
      const end = physical + chunk.stripeLength;
      const size = sizeOf(devid);
      if (size !== undefined && end > size) {
        throw new CorruptError(`Cannot trust chunk at ${chunk.start}: a stripe ends at ${end}, its device at ${size}`, {
          device: devid,
          physical,
          logical: chunk.start,
        });
      }
      extents.push({ devid, start: physical, end, chunk });
    }
  }
  extents.sort((a, b) => a.devid - b.devid || a.start - b.start);
  for (let index = 1; index < extents.length; index++) {
    const before = extents[index - 1]!;
    const { devid, start, chunk } = extents[index]!;
    if (before.devid === devid && before.end > start) {
      throw new CorruptError(
        `Cannot trust chunk at ${chunk.start}: a stripe begins at ${start}, one of the chunk at ${before.chunk.start} ends at ${before.end}`,
        { device: devid, physical: start, logical: chunk.start },
      );
    }
  }
}

/** At most so many chunks are believed: 1 EiB in chunks of 1 GiB, and far below what memory bears. */
export const MAX_CHUNKS = 2 ** 20;

/** @throws {BtrfsError} `limit`, above `MAX_CHUNKS`. */
export function checkChunkCount(count: number): void {
  if (count > MAX_CHUNKS) {
    throw new BtrfsError("limit", `Cannot open filesystem: it has more than ${MAX_CHUNKS} chunks`);
  }
}
