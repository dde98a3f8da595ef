import { COMPRESS_NONE, DEFAULT_MAX_INLINE } from "../format/file-extent.ts";
import type { StoredData } from "../transaction/data-store.ts";
import type { MaybePromise } from "../transaction/editor.ts";
import { appendExtent, appendInline, isEmptyFile, openEnd } from "./append.ts";
import { appendPacked, otherwise } from "./append-packed.ts";
import { inodeView } from "./inode.ts";
import { PIECE_BYTES } from "./pack.ts";
import { numberOf, type Place } from "./place.ts";
import { compressionNow } from "./property.ts";
import { maxInlineBytes, type WriteOptions } from "./sectors.ts";

/**
 * As `writeFile`, for data that comes behind all that a file has: plain, or compressed ahead.
 *
 * @returns `false` where it is another case, or becomes one: all is to be written then.
 */
export function appendData(
  at: Place,
  inode: bigint,
  offset: bigint,
  data: Uint8Array,
  { compress, maxInline = DEFAULT_MAX_INLINE }: WriteOptions,
): MaybePromise<boolean> {
  const { sectorSize } = at.tx.volume;
  if (data.byteLength === 0 || data.byteLength > MAX_APPENDED) return false;
  numberOf(inode);
  const end = openEnd(at, inode, offset);
  if (end === undefined) return false;
  const how = compressionNow(at, end.inode, inodeView(at, end.item), compress);
  const limit = Math.min(maxInline, sectorSize - 1, maxInlineBytes(at));
  if (how !== undefined) {
    const { algorithm, pack } = how;
    return pack === undefined ? false : appendPacked(at, end, offset, data, { algorithm, pack }, limit);
  }
  if (offset === 0n && data.byteLength <= limit && isEmptyFile(at, end)) {
    appendInline(at, end, data, data.byteLength, COMPRESS_NONE);
    return true;
  }
  const place = Number(offset);
  const put = (stored: StoredData): boolean => {
    appendExtent(at, end, stored, {
      at: place,
      ramBytes: stored.length,
      offset: 0,
      numBytes: stored.length,
      compression: COMPRESS_NONE,
      end: place + data.byteLength,
    });
    return true;
  };
  const stored = at.tx.data.write(data);
  if (!(stored instanceof Promise)) return put(stored);
  return stored.then(put, otherwise);
}

const MAX_APPENDED = 8 * PIECE_BYTES;
