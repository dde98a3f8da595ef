import { asStruct } from "../../bytes/struct.ts";
import type { Where } from "../../errors.ts";
import {
  BLOCK_GROUP_DATA,
  BLOCK_GROUP_METADATA,
  BLOCK_GROUP_SYSTEM,
  ChunkItem,
  DevItem,
  PROFILES,
  Stripe,
} from "../chunk.ts";
import {
  BalanceItem,
  DevExtent,
  DevReplaceItem,
  DevStatsItem,
  REPLACE_CANCELED,
  REPLACE_FINISHED,
  REPLACE_NEVER_STARTED,
  REPLACE_STARTED,
  REPLACE_SUSPENDED,
} from "../device-items.ts";
import { flagNames } from "../flags.ts";
import * as types from "../key-type.ts";
import { itemBytes, itemData, itemWhere, slotKey } from "../node.ts";
import { BALANCE_OBJECTID, DEV_STATS_OBJECTID } from "../objectid.ts";
import type { DescribeItem } from "./item.ts";
import { type Described, fieldsOf } from "./value.ts";

const BLOCK_GROUP_NAMES: readonly (readonly [bigint, string])[] = [
  [BigInt(BLOCK_GROUP_DATA), "DATA"],
  [BigInt(BLOCK_GROUP_SYSTEM), "SYSTEM"],
  [BigInt(BLOCK_GROUP_METADATA), "METADATA"],
  ...Object.entries(PROFILES)
    .filter(([, { bit }]) => bit !== 0)
    .map(([name, { bit }]) => [BigInt(bit), name.toUpperCase()] as const),
];

/** As `["DATA", "RAID1"]`; a profile of single has no word. */
export function blockGroupNames(flags: bigint): string[] {
  return flagNames(flags, BLOCK_GROUP_NAMES);
}

/** A chunk and its stripes. @param data The item, or the bytes from it on. */
export function describeChunk(data: Uint8Array, where: Where = {}): Described {
  const item = asStruct(ChunkItem, data, where);
  const stripes: Described[] = [];
  for (let index = 0; index < item.numStripes; index++) {
    const at = ChunkItem.byteLength + index * Stripe.byteLength;
    stripes.push(fieldsOf(asStruct(Stripe, data.subarray(at), where)));
  }
  return { ...fieldsOf(item), type_names: blockGroupNames(item.type), stripes };
}

const REPLACE_STATES: ReadonlyMap<bigint, string> = new Map([
  [REPLACE_NEVER_STARTED, "never started"],
  [REPLACE_STARTED, "started"],
  [REPLACE_FINISHED, "finished"],
  [REPLACE_CANCELED, "canceled"],
  [REPLACE_SUSPENDED, "suspended"],
]);

/** Items of the chunk and device trees, and what the root tree keeps about devices. */
export const DEVICE_ITEMS: Readonly<Record<number, DescribeItem>> = {
  [types.CHUNK_ITEM]: (leaf, slot) => describeChunk(itemBytes(leaf, slot), itemWhere(leaf, slot)),
  [types.DEV_ITEM]: (leaf, slot) => fieldsOf(asStruct(DevItem, itemData(leaf, slot), itemWhere(leaf, slot))),
  [types.DEV_EXTENT]: (leaf, slot) => fieldsOf(asStruct(DevExtent, itemData(leaf, slot), itemWhere(leaf, slot))),
  [types.DEV_REPLACE]: (leaf, slot) => {
    const item = asStruct(DevReplaceItem, itemData(leaf, slot), itemWhere(leaf, slot));
    return { ...fieldsOf(item), replace_state_name: REPLACE_STATES.get(item.replaceState) ?? "unknown" };
  },
  [types.PERSISTENT_ITEM]: (leaf, slot) => {
    const data = itemData(leaf, slot);
    if (slotKey(leaf, slot).objectid !== DEV_STATS_OBJECTID) return { bytes: data.byteLength };
    return fieldsOf(asStruct(DevStatsItem, data, itemWhere(leaf, slot)));
  },
  [types.TEMPORARY_ITEM]: (leaf, slot) => {
    const data = itemData(leaf, slot);
    if (slotKey(leaf, slot).objectid !== BALANCE_OBJECTID) return { bytes: data.byteLength };
    return fieldsOf(asStruct(BalanceItem, data, itemWhere(leaf, slot)));
  },
};
