import type { Algorithm } from "#codec";
import { CorruptError } from "../errors.ts";
import { COMPRESS_LZO, COMPRESS_NONE, COMPRESS_ZLIB, type InlineExtent } from "../format/file-extent.ts";
import type { Inode } from "./inode.ts";

/**
 * Fills `target` with the decoded bytes of an inline extent, from byte `from` of them on. What is behind its data is zero.
 *
 * @throws {CorruptError} when it claims to decode to more than a sector.
 */
export async function readInline(inode: Inode, extent: InlineExtent, from: number, target: Uint8Array): Promise<void> {
  const { filesystem } = inode.subvolume;
  const { sectorSize } = filesystem.volume;
  if (extent.compression === COMPRESS_NONE) {
    const data = extent.data.subarray(from, from + target.byteLength);
    target.set(data);
    target.fill(0, data.byteLength);
    return;
  }
  if (extent.ramBytes > BigInt(sectorSize)) {
    throw new CorruptError(
      `Cannot read inline extent: it decodes to ${extent.ramBytes} bytes, at most ${sectorSize} are possible`,
      inode.where,
    );
  }
  const decoded = new Uint8Array(Number(extent.ramBytes));
  const codecs = await filesystem.codecs();
  const length = codecs.decode(algorithmOf(extent.compression), extent.data, decoded, { sectorSize, inline: true });
  decoded.fill(0, length);
  const data = decoded.subarray(from, from + target.byteLength);
  target.set(data);
  target.fill(0, data.byteLength);
}

/** @param compression `COMPRESS_*` but for none: the checker of nodes knows no other. */
export function algorithmOf(compression: number): Algorithm {
  if (compression === COMPRESS_ZLIB) return "zlib";
  return compression === COMPRESS_LZO ? "lzo" : "zstd";
}
