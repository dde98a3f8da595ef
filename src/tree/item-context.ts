import { HEADER_BYTES, ITEM_HEADER_BYTES, type Leaf } from "../format/node.ts";
import type { NodeLimits } from "./limits.ts";
import { failItem } from "./problem.ts";

/** A leaf whose geometry is sound, while its items are checked. */
export interface ItemContext {
  readonly leaf: Leaf;
  readonly view: DataView;
  readonly limits: NodeLimits;
  /** Whether the leaf belongs to a subvolume. */
  readonly inSubvolume: boolean;
}

/**
 * Checks the item in `slot`, whose data is `size` bytes from byte `start` of the leaf. Runs for every item of every
 * node that is read: no bigint and no garbage unless something is wrong.
 *
 * @throws {CorruptError}
 */
export type ItemCheck = (context: ItemContext, slot: number, start: number, size: number) => void;

/** Byte of the leaf at which the key of `slot` starts. */
export function keyStart(slot: number): number {
  return HEADER_BYTES + slot * ITEM_HEADER_BYTES;
}

/** Byte of the leaf at which the offset in the key of `slot` starts. */
export function keyOffsetStart(slot: number): number {
  return keyStart(slot) + 9;
}

/** Item type of `slot`. */
export function typeAt(context: ItemContext, slot: number): number {
  return context.view.getUint8(keyStart(slot) + 8);
}

/**
 * The u64 at byte `at`, rounded to 53 bits: exact for multiples of 2048 and below 2^53, and never rounded past an
 * exact number, so comparing with one is right.
 */
export function roundedU64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

export function sameU64(view: DataView, a: number, b: number): boolean {
  return (
    view.getUint32(a, true) === view.getUint32(b, true) && view.getUint32(a + 4, true) === view.getUint32(b + 4, true)
  );
}

export function isZeroU64(view: DataView, at: number): boolean {
  return view.getUint32(at, true) === 0 && view.getUint32(at + 4, true) === 0;
}

/** Decimal digits of the u64 at byte `at`, for an error. */
export function sayU64(view: DataView, at: number): string {
  return view.getBigUint64(at, true).toString();
}

export function checkAligned(context: ItemContext, slot: number, at: number, what: string): void {
  const { sectorSize } = context.limits;
  if (context.view.getUint32(at, true) % sectorSize !== 0) {
    failItem(context.leaf, slot, `${what} is ${sayU64(context.view, at)}, expected a multiple of ${sectorSize}`);
  }
}

/** A generation may be at most the one after the superblock's. */
export function checkGenerationAt(context: ItemContext, slot: number, at: number, what: string): void {
  if (roundedU64(context.view, at) > context.limits.generation + 1) {
    const found = sayU64(context.view, at);
    failItem(context.leaf, slot, `${what} is ${found}, the superblock's generation is ${context.limits.generation}`);
  }
}

/** A check that the item has one of these sizes, and nothing more. */
export function sizeCheck(what: string, ...sizes: readonly number[]): ItemCheck {
  return (context, slot, _start, size) => {
    if (!sizes.includes(size))
      failItem(context.leaf, slot, `${what} has ${size} bytes, expected ${sizes.join(" or ")}`);
  };
}
