import { BtrfsError } from "../errors.ts";
import { COMPRESS_NONE } from "../format/file-extent.ts";
import type { StoredData } from "../transaction/data-store.ts";
import type { MaybePromise } from "../transaction/editor.ts";
import { appendExtent, appendInline, isEmptyFile, type OpenEnd } from "./append.ts";
import { COMPRESSION_NUMBERS } from "./content.ts";
import { type PackData, PIECE_BYTES, plainRoom } from "./pack.ts";
import type { Place } from "./place.ts";
import type { WriteCompress } from "./sectors.ts";

/** One extent: a part of what is appended, and how it is stored. */
interface Part {
  readonly from: number;
  to: number;
  /** `undefined`: as it is. */
  readonly packed: Uint8Array | undefined;
}

/**
 * As `appendData`, compressed.
 *
 * @param limit Bytes of inline data.
 */
export function appendPacked(
  at: Place,
  end: OpenEnd,
  offset: bigint,
  data: Uint8Array,
  { algorithm, pack }: WriteCompress & { readonly pack: PackData },
  limit: number,
): MaybePromise<boolean> {
  const { sectorSize } = at.tx.volume;
  const compression = COMPRESSION_NUMBERS[algorithm];
  if (offset === 0n && data.byteLength <= sectorSize && isEmptyFile(at, end)) {
    const room = Math.min(limit, data.byteLength - 1);
    const packed = room > 0 ? pack(data, 0n, room, true) : undefined;
    // The long way asks again.
    if (packed instanceof Promise) return packed.then(() => false);
    if (packed !== undefined || data.byteLength <= limit) {
      appendInline(at, end, packed ?? data, data.byteLength, packed === undefined ? COMPRESS_NONE : compression);
      return true;
    }
  }
  const parts: Part[] = [];
  for (let from = 0; from < data.byteLength; from += PIECE_BYTES) {
    const to = Math.min(from + PIECE_BYTES, data.byteLength);
    const room = plainRoom(to - from, sectorSize);
    const packed = room > 0 ? pack(data.subarray(from, to), offset + BigInt(from), room, false) : undefined;
    if (packed instanceof Promise) return packed.then(() => false);
    const last = parts.at(-1);
    if (packed === undefined && last !== undefined && last.packed === undefined) last.to = to;
    else parts.push({ from, to, packed });
  }
  const append = ({ from, to, packed }: Part, stored: StoredData): void => {
    const numBytes = Math.ceil((to - from) / sectorSize) * sectorSize;
    appendExtent(at, end, stored, {
      at: Number(offset) + from,
      ramBytes: numBytes,
      offset: 0,
      numBytes,
      compression: packed === undefined ? COMPRESS_NONE : compression,
      end: Number(offset) + to,
    });
  };
  const appendFrom = (first: number): MaybePromise<boolean> => {
    for (const [index, part] of parts.entries()) {
      if (index < first) continue;
      const stored = at.tx.data.write(part.packed ?? data.subarray(part.from, part.to));
      if (stored instanceof Promise) {
        return stored.then((there) => {
          append(part, there);
          return appendFrom(index + 1);
        }, otherwise);
      }
      append(part, stored);
    }
    return true;
  };
  return appendFrom(0);
}

/** Free space may still have room in pieces: the long way looks for them, and writes anew what is there already. */
export function otherwise(error: unknown): false {
  if (error instanceof BtrfsError && error.code === "space") return false;
  throw error;
}
