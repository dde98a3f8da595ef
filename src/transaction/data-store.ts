import { isStore } from "../device/slice.ts";
import type { ByteStore } from "../device/source.ts";
import { BtrfsError, CorruptError } from "../errors.ts";
import type { ChunkMap } from "../volume/chunk-map.ts";
import { placeIn } from "../volume/raid.ts";
import type { Volume } from "../volume/volume.ts";
import type { Checksums } from "./checksums.ts";
import type { DelayedRefs } from "./delayed-refs.ts";
import type { MaybePromise } from "./editor.ts";
import type { Space } from "./space.ts";
import { WriteBehind } from "./write-behind.ts";

const PIECE_BYTES = 1 << 20;

/** Stored data. */
export interface StoredData {
  /** Logical address. */
  readonly logical: number;
  /** Bytes. */
  readonly length: number;
}

/** File data as it is stored. What is written goes to free space at once: nothing leads there before the commit. */
export class DataStore {
  readonly #volume: Volume;
  readonly #space: Space;
  readonly #checksums: Checksums;
  readonly #refs: DelayedRefs;
  readonly #out: WriteBehind;

  constructor(volume: Volume, space: Space, checksums: Checksums, refs: DelayedRefs) {
    this.#volume = volume;
    this.#space = space;
    this.#checksums = checksums;
    this.#refs = refs;
    this.#out = new WriteBehind(
      (logical, data) => writeLogical(volume, space.chunks, logical, data),
      () => flushAll(volume),
    );
  }

  /**
   * Stores `data` as one new extent of whole sectors, zero behind it. It has no reference yet: one has to follow. The
   * data is copied before this returns, or settles.
   *
   * @param withChecksums Off for files without.
   */
  write(data: Uint8Array, withChecksums = true): MaybePromise<StoredData> {
    if (this.#out.isBusy) return this.#out.room().then(() => this.write(data, withChecksums));
    const { sectorSize } = this.#volume;
    const length = Math.ceil(data.byteLength / sectorSize) * sectorSize;
    const place = this.#space.allocate("data", length, sectorSize);
    const store = (logical: number): StoredData => {
      this.#refs.create(logical, length, -1);
      this.#fill(logical, data, withChecksums);
      return { logical, length };
    };
    return typeof place === "number" ? store(place) : place.then(store);
  }

  /** As `write`, in as many extents as free space has pieces; `each` is told of one before the next is made. */
  async writePieces(
    data: Uint8Array,
    withChecksums: boolean,
    each: (stored: StoredData, at: number) => MaybePromise<void>,
  ): Promise<void> {
    for (let at = 0; at < data.byteLength; ) {
      const { logical, length } = await this.allocateUpTo(data.byteLength - at);
      // Not all at once: it may be much more than is to wait in memory.
      for (let from = 0; from < length; from += PIECE_BYTES) {
        if (this.#out.isBusy) await this.#out.room();
        const end = Math.min(from + PIECE_BYTES, length);
        this.#fill(logical + from, data.subarray(at + from, at + end), withChecksums);
      }
      const done = each({ logical, length }, at);
      if (done !== undefined) await done;
      at += length;
    }
  }

  /** Writes what was gathered, and waits for all that is under way. @throws what a write threw. */
  drain(): Promise<void> {
    return this.#out.drain();
  }

  /** Waits for what is under way, where its fate does not matter any more. @returns What a flush threw. */
  async settle(): Promise<unknown> {
    await this.#out.settle();
    return this.#out.flushFailure?.error;
  }

  /** Room for data that is not written: what is there reads as anything. */
  async allocate(length: number): Promise<StoredData> {
    const { sectorSize } = this.#volume;
    if (length <= 0 || length % sectorSize !== 0) {
      throw new RangeError(`Cannot store ${length} bytes: they are not whole sectors of ${sectorSize}`);
    }
    const logical = await this.#space.allocate("data", length, sectorSize);
    this.#refs.create(logical, length, -1);
    return { logical, length };
  }

  /** As `allocate`, and shorter where free space has no piece that long. */
  async allocateUpTo(length: number): Promise<StoredData> {
    const piece = await this.#space.allocateUpTo(length, this.#volume.sectorSize);
    this.#refs.create(piece.start, piece.length, -1);
    return { logical: piece.start, length: piece.length };
  }

  /**
   * Reads stored data, whole sectors, that this transaction or an earlier one wrote: from the first copy that is good.
   *
   * @throws {CorruptError} when none is.
   */
  async read(logical: number, target: Uint8Array, verified: boolean): Promise<void> {
    const { sectorSize, checksum } = this.#volume;
    if (!this.#out.isEmpty) await this.#out.drain();
    const values = verified ? await this.#checksums.read(logical, target.byteLength) : undefined;
    for (let at = 0; at < target.byteLength; ) {
      const chunk = this.#space.chunks.get(logical + at);
      const place = placeIn(chunk, logical + at);
      const part = target.subarray(at, at + Math.min(place.contiguous, target.byteLength - at));
      let isGood = false;
      for (let index = place.stripe; index < place.stripe + place.copies && !isGood; index++) {
        const { devid, physical } = chunk.stripes[index]!;
        await storeOf(this.#volume, devid).read(physical + place.at, part);
        const sums = (at / sectorSize) * checksum.byteLength;
        isGood = values === undefined || checksum.findBadSector(part, sectorSize, values, sums) < 0;
      }
      if (!isGood)
        throw new CorruptError(
          "Cannot trust data: no copy has its checksum",
          { logical: logical + at },
          { code: "checksum" },
        );
      at += part.byteLength;
    }
  }

  /** Copies data to where it is written from, in whole sectors, and takes their checksums there. */
  #fill(logical: number, data: Uint8Array, withChecksums: boolean): void {
    const { checksum, sectorSize } = this.#volume;
    const length = Math.ceil(data.byteLength / sectorSize) * sectorSize;
    for (let at = 0; at < length; ) {
      const target = this.#out.place(logical + at, length - at);
      const part = data.subarray(at, at + target.byteLength);
      target.set(part);
      target.fill(0, part.byteLength);
      if (withChecksums) {
        const sums = this.#checksums.reserve(logical + at, target.byteLength);
        checksum.computeSectors(target, sectorSize, sums.values, sums.at);
      }
      at += target.byteLength;
    }
  }
}

/** Writes bytes to every copy that their chunk keeps. Durable after a flush. */
export async function writeLogical(volume: Volume, chunks: ChunkMap, logical: number, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.byteLength; ) {
    const chunk = chunks.get(logical + at);
    const place = placeIn(chunk, logical + at);
    const part = data.subarray(at, at + Math.min(place.contiguous, data.byteLength - at));
    const copies: Promise<void>[] = [];
    for (let index = place.stripe; index < place.stripe + place.copies; index++) {
      const { devid, physical } = chunk.stripes[index]!;
      copies.push(storeOf(volume, devid).write(physical + place.at, part));
    }
    await allWritten(copies);
    at += part.byteLength;
  }
}

/** Makes what was written to any device durable. @throws {BtrfsError} `io`, when all have ended. */
export async function flushAll(volume: Volume): Promise<void> {
  await allWritten([...volume.devices.keys()].map((devid) => storeOf(volume, devid).flush()));
}

export function storeOf(volume: Volume, devid: number): ByteStore {
  const source = volume.devices.get(devid)?.source;
  if (source !== undefined && isStore(source)) return source;
  throw new BtrfsError("permission", "Cannot write: the device is missing or open for reading only", {
    where: { device: devid },
  });
}

/** Waits for all, also when one fails: a write that is under way would land in what is handed out next. */
async function allWritten(writes: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(writes)) if (result.status === "rejected") throw result.reason;
}
