import { BtrfsError } from "../errors.ts";
import { BLOCK_GROUP_METADATA, BLOCK_GROUP_SYSTEM, PROFILES, STRIPE_BYTES } from "../format/chunk.ts";
import { type FillingChunk, Space, stripes } from "./space.ts";

/** How the chunks of a filesystem on one device may keep their bytes. */
export type SingleDeviceProfile = "single" | "dup";

export interface LayoutOptions {
  /** Bytes of the device; infinite where it gets as long as it has to be. */
  readonly limit: number;
  readonly nodeSize: number;
  readonly metadata: SingleDeviceProfile;
  readonly data: SingleDeviceProfile;
  /** Bytes that the trees of what it is filled with may take, and its data; none for an empty one. */
  readonly content?: { readonly metadata: number; readonly data: number } | undefined;
  /** Leaves little room for changes. */
  readonly isTight: boolean;
}

export interface Layout {
  readonly space: Space;
  readonly system: FillingChunk;
  readonly metadata: FillingChunk;
}

const MIB = 1_048_576;
const GIB = 1024 * MIB;
const FIRST_BYTE = MIB;
/** Of a small filesystem: enough for the trees of an empty one, and to change them once. */
const LEAST_NODES = 36;
const MOST_METADATA = 16 * GIB;

/**
 * The first chunks of a filesystem: one for system, one for metadata, and one for data where there is room and nothing to
 * fill in. More come when they are needed.
 *
 * @throws {BtrfsError} `space`.
 */
export function planLayout(options: LayoutOptions): Layout {
  const layout = tryLayout(options);
  if (layout !== undefined) return layout;
  const { limit } = options;
  const sentence = `Cannot make filesystem: ${limit} bytes are too few for its metadata, at least ${leastBytes(options)} are needed`;
  throw new BtrfsError("space", sentence);
}

function tryLayout(options: LayoutOptions): Layout | undefined {
  const { limit, content, data } = options;
  const sizes = limit === Number.POSITIVE_INFINITY ? growingSizes(options) : fixedSizes(options);
  if (sizes === undefined) return undefined;
  const space = new Space(limit);
  const system = space.add(BLOCK_GROUP_SYSTEM, options.metadata, sizes.system);
  const metadata = space.add(BLOCK_GROUP_METADATA, options.metadata, sizes.metadata);
  if (system === undefined || metadata === undefined) return undefined;
  const first = Math.min(8 * MIB, sizes.left / PROFILES[data].factor);
  if (content === undefined && first >= MIB) space.addData(data, stripes(first));
  return { space, system, metadata };
}

/** The least size that is enough, to the next 64 KiB. */
function leastBytes(options: LayoutOptions): number {
  let least = options.limit;
  let enough = Math.max(least, MIB);
  while (tryLayout({ ...options, limit: enough }) === undefined) enough *= 2;
  while (enough - least > STRIPE_BYTES) {
    const middle = Math.ceil((least + enough) / 2 / STRIPE_BYTES) * STRIPE_BYTES;
    if (middle >= enough) break;
    if (tryLayout({ ...options, limit: middle }) === undefined) least = middle;
    else enough = middle;
  }
  return enough;
}

interface Sizes {
  readonly system: number;
  readonly metadata: number;
  /** Bytes of the device for data. */
  readonly left: number;
}

function growingSizes({ content, isTight }: LayoutOptions): Sizes {
  const trees = Math.min(Math.ceil((content?.metadata ?? 0) / MIB) * MIB, MOST_METADATA);
  // With less, the kernel finds no room for its first change.
  return { system: (isTight ? 2 : 8) * MIB, metadata: isTight ? Math.max(trees, MIB) : trees + 32 * MIB, left: 0 };
}

/** `undefined` where they do not fit. */
function fixedSizes({ limit, nodeSize, metadata, data, content }: LayoutOptions): Sizes | undefined {
  const copies = PROFILES[metadata].factor;
  const room = limit - FIRST_BYTE;
  const system = stripes(Math.min(8 * MIB, room / 16 / copies));
  const usual = Math.min(Math.max(limit / 10, 32 * MIB), limit > 50 * GIB ? GIB : 256 * MIB, room / 2 / copies);
  // What is to come needs its room first.
  const beside = room - system * copies - (content?.data ?? 0) * PROFILES[data].factor;
  const wanted =
    content === undefined
      ? usual
      : Math.max(Math.min(usual, beside / copies), Math.min(content.metadata, (room - system * copies) / copies));
  const trees = stripes(wanted);
  const left = room - (system + trees) * copies;
  const least = LEAST_NODES * nodeSize;
  if (trees < least || system < 2 * nodeSize || left < 0) return undefined;
  return { system, metadata: trees, left };
}
