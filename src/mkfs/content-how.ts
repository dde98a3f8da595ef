import { loadChecksum } from "#checksum";
import { type Compress, type Encode, makeEncoder } from "../codec/encoder.ts";
import { COMPRESS_LZO, COMPRESS_NONE, COMPRESS_ZLIB, COMPRESS_ZSTD } from "../format/file-extent.ts";
import { ContentReader } from "./content.ts";
import type { TreeSource } from "./source.ts";

/** How content is stored, as plain data: threads are told so. */
export interface ContentHow {
  readonly sectorSize: number;
  readonly checksumType: number;
  readonly compress?: Compress | undefined;
  /** Only codecs that compress alike on every host. */
  readonly isPortable: boolean;
}

const NUMBERS = { zlib: COMPRESS_ZLIB, lzo: COMPRESS_LZO, zstd: COMPRESS_ZSTD } as const;

/**
 * A reader of contents on this thread.
 *
 * @param encode In place of the host's codec.
 */
export async function makeContentReader(
  source: TreeSource,
  { sectorSize, checksumType, compress, isPortable }: ContentHow,
  encode?: Encode,
): Promise<ContentReader> {
  const checksum = await loadChecksum(checksumType);
  if (compress === undefined) return new ContentReader(source, { sectorSize, checksum, compression: COMPRESS_NONE });
  const compression = NUMBERS[compress.algorithm];
  return new ContentReader(source, {
    sectorSize,
    checksum,
    compression,
    encode: encode ?? (await makeEncoder(compress, sectorSize, isPortable)),
  });
}
