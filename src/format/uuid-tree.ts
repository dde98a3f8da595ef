import { viewOf } from "../bytes/bytes.ts";
import { CorruptError, type Where } from "../errors.ts";
import { type Key, keyOf } from "./key.ts";
import type { UUID_RECEIVED_SUBVOL, UUID_SUBVOL } from "./key-type.ts";

/** Key in the UUID tree under which the subvolumes with this uuid are listed. */
export function uuidKey(uuid: Uint8Array, type: typeof UUID_SUBVOL | typeof UUID_RECEIVED_SUBVOL): Key {
  const view = viewOf(uuid);
  return keyOf(view.getBigUint64(0, true), type, view.getBigUint64(8, true));
}

/** The uuid that a key of the UUID tree is made of. */
export function uuidOfKey(key: Key): Uint8Array {
  const uuid = new Uint8Array(16);
  viewOf(uuid).setBigUint64(0, key.objectid, true);
  viewOf(uuid).setBigUint64(8, key.offset, true);
  return uuid;
}

/**
 * Ids of the subvolumes in an item of the UUID tree.
 *
 * @throws {CorruptError} when its size is not a multiple of 8.
 */
export function decodeSubvolumeIds(data: DataView, where: Where = {}): bigint[] {
  if (data.byteLength % 8 !== 0) {
    throw new CorruptError(`Cannot read uuid item: ${data.byteLength} bytes, expected a multiple of 8`, where);
  }
  return Array.from({ length: data.byteLength / 8 }, (_, index) => data.getBigUint64(index * 8, true));
}
