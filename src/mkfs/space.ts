import { BLOCK_GROUP_DATA, PROFILES, STRIPE_BYTES } from "../format/chunk.ts";
import { SUPERBLOCK_OFFSETS } from "../format/superblock.ts";
import type { Chunk } from "../volume/chunk-map.ts";
import type { SingleDeviceProfile } from "./layout.ts";

const MIB = 1_048_576;
/** Nothing below may belong to a chunk: boot loaders, and the superblock. */
const FIRST_BYTE = MIB;
/** Smaller data chunks are not worth it. */
const LEAST_DATA = MIB;

/** A chunk that is filled from its start on: what is free lies behind `used`. */
export interface FillingChunk {
  /** Logical address. */
  readonly start: number;
  /** Bytes. It may get shorter when nothing follows. */
  length: number;
  readonly type: number;
  readonly profile: SingleDeviceProfile;
  /** Where each copy begins on the device. */
  readonly physical: readonly number[];
  used: number;
}

/**
 * Chunks on one device, one behind the other. None covers a copy of the superblock, so that all of a chunk can be used.
 */
export class Space {
  readonly chunks: FillingChunk[] = [];
  /** Bytes of the device. */
  readonly limit: number;
  #logical = FIRST_BYTE;
  #physical = FIRST_BYTE;
  /** Before a superblock, where the next copy did not fit. */
  readonly #gaps: { start: number; end: number }[] = [];

  constructor(limit: number) {
    this.limit = limit;
  }

  /** First byte of the device behind all chunks. */
  get end(): number {
    return this.#physical;
  }

  /** @returns `undefined` where there is no room for it. */
  add(type: number, profile: SingleDeviceProfile, length: number): FillingChunk | undefined {
    const whole = stripes(length);
    const copies = PROFILES[profile].factor;
    const physical: number[] = [];
    const gaps: { start: number; end: number }[] = [];
    let at = this.#physical;
    for (let copy = 0; copy < copies; copy++) {
      const superblock = superblockIn(at, whole);
      if (superblock !== undefined) {
        if (superblock > at) gaps.push({ start: at, end: superblock });
        at = superblock + STRIPE_BYTES;
      }
      physical.push(at);
      at += whole;
    }
    if (at > this.limit) return undefined;
    this.#physical = at;
    this.#gaps.push(...gaps);
    return this.#made(type, profile, whole, physical);
  }

  /** A chunk for data of `length` bytes, or as many as can be had in one piece. */
  addData(profile: SingleDeviceProfile, length: number): FillingChunk | undefined {
    const copies = PROFILES[profile].factor;
    const gap = this.#gaps.findIndex(({ start, end }) => (end - start) / copies >= LEAST_DATA);
    if (gap >= 0) {
      const { start, end } = this.#gaps[gap]!;
      const taken = stripes(Math.min(length, (end - start) / copies));
      this.#gaps.splice(gap, 1, { start: start + taken * copies, end });
      const physical = Array.from({ length: copies }, (_, copy) => start + copy * taken);
      return this.#made(BLOCK_GROUP_DATA, profile, taken, physical);
    }
    const superblock = superblockIn(this.#physical, length * copies);
    const before = superblock === undefined ? 0 : (superblock - this.#physical) / copies;
    if (before >= LEAST_DATA) return this.add(BLOCK_GROUP_DATA, profile, Math.min(length, before));
    const from = superblock === undefined ? this.#physical : superblock + STRIPE_BYTES;
    const most = Math.min(length, (this.limit - from) / copies);
    return most < Math.min(LEAST_DATA, length) ? undefined : this.add(BLOCK_GROUP_DATA, profile, most);
  }

  /** Gives back what a data chunk does not need, if nothing lies behind it: all of it where it has nothing. */
  trim(chunk: FillingChunk): void {
    if (chunk.physical.at(-1)! + chunk.length !== this.#physical) return;
    if (chunk.used === 0) {
      this.chunks.splice(this.chunks.indexOf(chunk), 1);
      this.#physical = chunk.physical[0]!;
    } else {
      chunk.length = Math.min(chunk.length, Math.ceil(chunk.used / MIB) * MIB);
      this.#physical = chunk.physical.at(-1)! + chunk.length;
    }
  }

  #made(type: number, profile: SingleDeviceProfile, length: number, physical: readonly number[]): FillingChunk {
    const chunk = { start: this.#logical, length, type, profile, physical, used: 0 };
    this.#logical += length;
    this.chunks.push(chunk);
    return chunk;
  }
}

/** As the rest of the code knows chunks. */
export function chunkOf(chunk: FillingChunk, deviceUuid: Uint8Array): Chunk {
  const { start, length, type, profile } = chunk;
  const stripes = chunk.physical.map((physical) => ({ devid: 1, physical, deviceUuid }));
  return { start, length, type, profile, stripes, dataStripes: 1, stripeLength: length };
}

/** Whole stripes: nothing else keeps nodes off their borders. */
export function stripes(bytes: number): number {
  return Math.max(Math.floor(bytes / STRIPE_BYTES) * STRIPE_BYTES, STRIPE_BYTES);
}

/** The first copy of the superblock whose stripe `[at, at + length)` touches. */
function superblockIn(at: number, length: number): number | undefined {
  return SUPERBLOCK_OFFSETS.find((offset) => at < offset + STRIPE_BYTES && at + length > offset);
}
