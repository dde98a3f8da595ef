import { allDone } from "../device/all-done.ts";
import type { ByteSource } from "../device/source.ts";
import { BtrfsError, CorruptError, type Where } from "../errors.ts";
import { PROFILES } from "../format/chunk.ts";
import type { Chunk, ChunkMap } from "./chunk-map.ts";
import type { VolumeDevice } from "./devices.ts";
import { type Place, placeIn, rebuildColumn, stripeOf } from "./raid.ts";

/** One way to get the bytes of a logical range that lies within one stripe. */
export interface Mirror {
  /** `stored`: they lie there. `rebuilt`: they follow from the other columns of the row. */
  readonly kind: "stored" | "rebuilt";
  readonly logical: number;
  readonly lengthBytes: number;
  /** The device that holds them, or should. */
  readonly devid: number;
  /** Byte offset on that device. */
  readonly physical: number;
  readonly chunk: Chunk;
  readonly place: Place;
  /** Rebuilt under the assumption that this column, of data or P, is bad as well. */
  readonly also?: number;
}

/** The ways to read a logical range from the devices. */
export class Mirrors {
  readonly devices: ReadonlyMap<number, VolumeDevice>;
  chunks: ChunkMap;

  constructor(chunks: ChunkMap, devices: ReadonlyMap<number, VolumeDevice>) {
    this.chunks = chunks;
    this.devices = devices;
  }

  /**
   * Every way to read `length` bytes at `logical`: stored copies in the order of the stripes, then rebuilt ones.
   *
   * @throws {CorruptError} when no chunk has the range, or it does not lie within one stripe.
   */
  of(logical: number, length: number): Mirror[] {
    const chunk = this.chunks.get(logical, length);
    const place = placeIn(chunk, logical);
    if (place.contiguous < length) {
      throw new CorruptError(`Cannot read ${length} bytes as one: the stripe ends after ${place.contiguous}`, {
        logical,
      });
    }
    return this.at(chunk, place, logical, length);
  }

  /** The first of these ways, alone. */
  firstOf(logical: number, length: number): Mirror {
    const chunk = this.chunks.get(logical, length);
    const place = placeIn(chunk, logical);
    if (place.contiguous < length) return this.of(logical, length)[0]!;
    return this.#mirror("stored", chunk, place, place.stripe, logical, length);
  }

  /** Largest number of bytes from `logical` that lie within one stripe. */
  contiguousAt(logical: number): number {
    return placeIn(this.chunks.get(logical), logical).contiguous;
  }

  /** As `of`, where the place is known. */
  at(chunk: Chunk, place: Place, logical: number, lengthBytes: number): Mirror[] {
    const mirrors: Mirror[] = [];
    for (let index = place.stripe; index < place.stripe + place.copies; index++) {
      mirrors.push(this.#mirror("stored", chunk, place, index, logical, lengthBytes));
    }
    const { parity } = PROFILES[chunk.profile];
    if (parity === 0) return mirrors;
    mirrors.push(this.#mirror("rebuilt", chunk, place, place.stripe, logical, lengthBytes));
    if (parity === 1) return mirrors;
    // With two parities any one other column may be bad too: P, or one of data.
    for (let also = chunk.dataStripes; also >= 0; also--) {
      if (also === place.column) continue;
      mirrors.push({ ...this.#mirror("rebuilt", chunk, place, place.stripe, logical, lengthBytes), also });
    }
    return mirrors;
  }

  /** How far to trust a mirror when nothing can verify it: devices that it reads and that missed commits. */
  staleness({ kind, chunk, devid, place, also }: Mirror): number {
    if (kind === "stored") return this.devices.get(devid)?.stale ? 1 : 0;
    let stale = 0;
    for (const column of neededColumns(chunk, place.column, also)) {
      if (this.devices.get(chunk.stripes[stripeOf(chunk, place.row, column)]!.devid)?.stale) stale++;
    }
    return stale;
  }

  /** Whether a device that the mirror reads is missing. */
  isMissing({ kind, chunk, devid, place, also }: Mirror): boolean {
    if (kind === "stored") return this.devices.get(devid)?.source === undefined;
    return neededColumns(chunk, place.column, also).some((column) => {
      const stripe = chunk.stripes[stripeOf(chunk, place.row, column)]!;
      return this.devices.get(stripe.devid)?.source === undefined;
    });
  }

  where({ devid, physical, logical }: Mirror): Where {
    const file = this.devices.get(devid)?.source?.name;
    return { ...(file === undefined ? {} : { file }), device: devid, physical, logical };
  }

  /** The same for a node of a tree. */
  nodeAt({ devid, physical, logical }: Mirror, tree: bigint): Where {
    const file = this.devices.get(devid)?.source?.name;
    if (file === undefined) return { device: devid, physical, logical, tree };
    return { file, device: devid, physical, logical, tree };
  }

  /**
   * Reads what `mirror` gives into `target`, unverified. A promise only where the devices can't be read at once.
   *
   * @throws {BtrfsError} when a device that is needed is missing or fails.
   */
  read(mirror: Mirror, target: Uint8Array, signal?: AbortSignal, sync = true): void | Promise<void> {
    if (mirror.kind === "rebuilt") return this.#rebuild(mirror, target, signal);
    const source = this.source(mirror.devid, mirror);
    if (sync && source.readSync !== undefined) return source.readSync(mirror.physical, target);
    return source.read(mirror.physical, target, signal === undefined ? undefined : { signal });
  }

  /** @throws {BtrfsError} `missing`. */
  source(devid: number, { logical, physical }: { logical: number; physical: number }): ByteSource {
    const source = this.devices.get(devid)?.source;
    if (source !== undefined) return source;
    throw new BtrfsError("missing", `Cannot read: device ${devid} is missing`, {
      where: { device: devid, physical, logical },
    });
  }

  async #rebuild(mirror: Mirror, target: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    const { chunk, place, also } = mirror;
    const columns: (Uint8Array | undefined)[] = [];
    // Whole words, for the arithmetic.
    const length = Math.ceil(target.byteLength / 4) * 4;
    const reads = neededColumns(chunk, place.column, also).map(async (column) => {
      const stripe = chunk.stripes[stripeOf(chunk, place.row, column)]!;
      const physical = stripe.physical + place.at;
      const data = new Uint8Array(length);
      columns[column] = data;
      const source = this.source(stripe.devid, { logical: mirror.logical, physical });
      await source.read(physical, data.subarray(0, target.byteLength), signal === undefined ? undefined : { signal });
    });
    await allDone(reads);
    target.set(rebuildColumn(columns, chunk.dataStripes, place.column, also).subarray(0, target.byteLength));
  }

  #mirror(
    kind: Mirror["kind"],
    chunk: Chunk,
    place: Place,
    stripe: number,
    logical: number,
    lengthBytes: number,
  ): Mirror {
    const { devid, physical } = chunk.stripes[stripe]!;
    return { kind, logical, lengthBytes, devid, physical: physical + place.at, chunk, place };
  }
}

/** The same mirror, for bytes `at` to `at + length` of it. */
export function partOf(mirror: Mirror, at: number, length: number): Mirror {
  if (at === 0 && length === mirror.lengthBytes) return mirror;
  const place = { ...mirror.place, at: mirror.place.at + at, contiguous: mirror.place.contiguous - at };
  return { ...mirror, logical: mirror.logical + at, physical: mirror.physical + at, lengthBytes: length, place };
}

/** Columns of the row that rebuilding reads. */
function neededColumns(chunk: Chunk, lost: number, also: number | undefined): number[] {
  const columns: number[] = [];
  const last = chunk.dataStripes + (also === undefined ? 0 : 1);
  for (let column = 0; column <= last; column++) if (column !== lost && column !== also) columns.push(column);
  return columns;
}
