import { BtrfsError } from "../errors.ts";
import { BLOCK_GROUP_METADATA, BLOCK_GROUP_SYSTEM, PROFILES, type Profile, STRIPE_BYTES } from "../format/chunk.ts";
import type { Chunk } from "../volume/chunk-map.ts";

/** A device that chunks may be put on. */
export interface RoomyDevice {
  readonly devid: number;
  readonly uuid: Uint8Array;
  readonly totalBytes: number;
}

const MIB = 1_048_576;
const GIB = 1024 * MIB;
const FIRST_BYTE = MIB;

interface Hole {
  readonly device: RoomyDevice;
  readonly start: number;
  readonly length: number;
}

/**
 * A new chunk of this type and profile, of `least` logical bytes at least and otherwise of the usual size: in holes
 * between the stripes of the chunks that there are.
 *
 * @returns `undefined` when the devices have no room.
 */
export function planChunk(
  chunks: readonly Chunk[],
  devices: readonly RoomyDevice[],
  type: number,
  profile: Profile,
  least: number,
): Chunk | undefined {
  const { factor, striped, parity } = PROFILES[profile];
  if (parity > 0) throw new BtrfsError("unsupported", `Cannot add chunk: btrkit does not write ${profile}`);
  const places = choosePlaces(holesOf(chunks, devices), profile);
  if (places === undefined) return undefined;
  const columns = striped ? places.length / factor : 1;
  const total = devices.reduce((sum, { totalBytes }) => sum + totalBytes, 0);
  const usual = Math.max(Math.min(usualBytes(type, total), total / 10), least);
  const room = Math.floor(Math.min(...places.map(({ length }) => length)) / STRIPE_BYTES) * STRIPE_BYTES;
  const stripe = Math.min(room, Math.ceil(usual / columns / STRIPE_BYTES) * STRIPE_BYTES);
  if (stripe === 0 || stripe * columns < least) return undefined;
  const start = Math.max(MIB, ...chunks.map((chunk) => chunk.start + chunk.length));
  return {
    start: Math.ceil(start / STRIPE_BYTES) * STRIPE_BYTES,
    length: stripe * columns,
    type,
    profile,
    stripes: places.map(({ device, start: physical }, index) => ({
      devid: device.devid,
      // The two stripes of dup may share a hole.
      physical: physical + (index > 0 && places[index - 1]!.start === physical && profile === "dup" ? stripe : 0),
      deviceUuid: device.uuid,
    })),
    dataStripes: columns,
    stripeLength: stripe,
  };
}

function usualBytes(type: number, total: number): number {
  if ((type & BLOCK_GROUP_SYSTEM) !== 0) return 32 * MIB;
  if ((type & BLOCK_GROUP_METADATA) !== 0) return total > 50 * GIB ? GIB : 256 * MIB;
  return GIB;
}

/** A hole for each stripe, the longest ones; the two of dup on one device. */
function choosePlaces(holes: readonly Hole[], profile: Profile): Hole[] | undefined {
  const sorted = [...holes].sort((a, b) => b.length - a.length);
  if (profile === "dup") return chooseTwice(sorted);
  const byDevice = sorted.filter(({ device }, index) => sorted.findIndex((hole) => hole.device === device) === index);
  const { minStripes, maxStripes, factor, striped } = PROFILES[profile];
  const count = striped
    ? Math.floor(Math.min(byDevice.length, 64) / factor) * factor
    : Math.min(maxStripes, byDevice.length);
  return count < minStripes ? undefined : byDevice.slice(0, count);
}

function chooseTwice(sorted: readonly Hole[]): Hole[] | undefined {
  const first = sorted[0];
  if (first === undefined) return undefined;
  const second = sorted.find((hole) => hole !== first && hole.device === first.device);
  const half = { ...first, length: Math.floor(first.length / 2) };
  return second !== undefined && second.length > half.length ? [first, second] : [half, half];
}

function holesOf(chunks: readonly Chunk[], devices: readonly RoomyDevice[]): Hole[] {
  const holes: Hole[] = [];
  for (const device of devices) {
    const taken = chunks
      .flatMap(({ stripes, stripeLength }) =>
        stripes
          .filter(({ devid }) => devid === device.devid)
          .map(({ physical }) => ({ start: physical, end: physical + stripeLength })),
      )
      .sort((a, b) => a.start - b.start);
    let from = FIRST_BYTE;
    for (const { start, end } of [...taken, { start: device.totalBytes, end: device.totalBytes }]) {
      const first = Math.ceil(from / STRIPE_BYTES) * STRIPE_BYTES;
      if (start - first >= STRIPE_BYTES) holes.push({ device, start: first, length: start - first });
      from = Math.max(from, end);
    }
  }
  return holes;
}
