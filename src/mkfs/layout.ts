import { BtrfsError } from "../errors.ts";
import { BLOCK_GROUP_DATA, BLOCK_GROUP_METADATA, BLOCK_GROUP_SYSTEM, PROFILES, STRIPE_BYTES } from "../format/chunk.ts";
import type { Chunk } from "../volume/chunk-map.ts";

/** How the chunks of a filesystem on one device may keep their bytes. */
export type SingleDeviceProfile = "single" | "dup";

export interface LayoutOptions {
  /** Bytes of the device. */
  readonly totalBytes: number;
  readonly nodeSize: number;
  readonly metadata: SingleDeviceProfile;
  readonly data: SingleDeviceProfile;
  readonly deviceUuid: Uint8Array;
}

const MIB = 1_048_576;
const GIB = 1024 * MIB;
/** Nothing below may belong to a chunk: boot loaders, and the superblock. */
const FIRST_BYTE = MIB;
/** Of a small filesystem: enough for the trees of an empty one, and to change them once. */
const LEAST_NODES = 32;

/**
 * The first chunks of a filesystem: one for system, one for metadata, and one for data where there is room. More come
 * when they are needed.
 *
 * @throws {BtrfsError} `space`.
 */
export function planChunks(options: LayoutOptions): Chunk[] {
  const { totalBytes, metadata, data } = options;
  const copies = PROFILES[metadata].factor;
  const room = totalBytes - FIRST_BYTE;
  const system = stripes(Math.min(8 * MIB, room / 16 / copies));
  const wanted = Math.min(Math.max(totalBytes / 10, 32 * MIB), totalBytes > 50 * GIB ? GIB : 256 * MIB);
  const meta = stripes(Math.min(wanted, room / 2 / copies));
  const left = room - (system + meta) * copies;
  const least = LEAST_NODES * options.nodeSize;
  if (meta < least || system < 2 * options.nodeSize || left < 0) {
    throw new BtrfsError("space", `Cannot make filesystem: ${totalBytes} bytes are too few for its metadata`);
  }
  const plan = new Plan(options.deviceUuid);
  plan.add(BLOCK_GROUP_SYSTEM, metadata, system);
  plan.add(BLOCK_GROUP_METADATA, metadata, meta);
  const content = stripes(Math.min(8 * MIB, left / PROFILES[data].factor));
  if (content >= MIB) plan.add(BLOCK_GROUP_DATA, data, content);
  return plan.chunks;
}

/** Whole stripes: nothing else keeps nodes off their borders. */
function stripes(bytes: number): number {
  return Math.max(Math.floor(bytes / STRIPE_BYTES) * STRIPE_BYTES, STRIPE_BYTES);
}

/** Chunks one after the other, from the same byte on in both address spaces. */
class Plan {
  readonly chunks: Chunk[] = [];
  readonly #deviceUuid: Uint8Array;
  #logical = FIRST_BYTE;
  #physical = FIRST_BYTE;

  constructor(deviceUuid: Uint8Array) {
    this.#deviceUuid = deviceUuid;
  }

  add(type: number, profile: SingleDeviceProfile, length: number): void {
    const stripes = Array.from({ length: PROFILES[profile].factor }, (_, index) => {
      return { devid: 1, physical: this.#physical + index * length, deviceUuid: this.#deviceUuid };
    });
    this.chunks.push({ start: this.#logical, length, type, profile, stripes, dataStripes: 1, stripeLength: length });
    this.#logical += length;
    this.#physical += stripes.length * length;
  }
}
