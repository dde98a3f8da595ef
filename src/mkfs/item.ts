import { type Key, keyOf } from "../format/key.ts";

export interface Item {
  readonly key: Key;
  readonly data: Uint8Array;
}

export function item(objectid: bigint, type: number, offset: bigint, data: Uint8Array = new Uint8Array(0)): Item {
  return { key: keyOf(objectid, type, offset), data };
}
