import { hex } from "../../bytes/bytes.ts";
import { itemBytes, type Leaf, slotType } from "../node.ts";
import { DEVICE_ITEMS } from "./devices.ts";
import { EXTENT_ITEMS } from "./extents.ts";
import { FILE_ITEMS } from "./files.ts";
import { ROOT_ITEMS } from "./roots.ts";
import type { Described } from "./value.ts";

/** What some items can't be read without. Sizes in bytes. */
export interface ItemSizes {
  readonly sectorSize: number;
  readonly checksumSize: number;
}

export type DescribeItem = (leaf: Leaf, slot: number, sizes: ItemSizes) => Described;

const ITEMS: Readonly<Record<number, DescribeItem>> = {
  ...FILE_ITEMS,
  ...EXTENT_ITEMS,
  ...ROOT_ITEMS,
  ...DEVICE_ITEMS,
};

/** Bytes of an unknown item that are shown. */
const SHOWN_BYTES = 256;

/**
 * What an item says, whatever its type. Unknown ones give their first bytes in hexadecimal.
 *
 * @throws {CorruptError} when its data is not what its type demands.
 */
export function describeItem(leaf: Leaf, slot: number, sizes: ItemSizes): Described {
  const describe = ITEMS[slotType(leaf, slot)];
  if (describe !== undefined) return describe(leaf, slot, sizes);
  const data = itemBytes(leaf, slot);
  return { data_hex: hex(data.subarray(0, SHOWN_BYTES)) };
}
