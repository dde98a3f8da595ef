import { loadCodec } from "#codec";
import type { Algorithm } from "./options.ts";

/** Compresses one extent, or inline data. @returns Bytes written to `output`; 0 when they do not fit. */
export type Encode = (input: Uint8Array, output: Uint8Array, isInline: boolean) => number;

/** What extents are to be compressed with. */
export interface Compress {
  readonly algorithm: Algorithm;
  /** zlib 1 to 9, zstd 1 to 15; 3 where nothing is said. */
  readonly level?: number | undefined;
}

/** @param portable Only a codec that compresses alike on every host. */
export async function makeEncoder(
  { algorithm, level }: Compress,
  sectorSize: number,
  portable = false,
): Promise<Encode> {
  const codec = await loadCodec(algorithm, { portable });
  const [plain, inline] = [false, true].map((isInline) => {
    return { sectorSize, inline: isInline, ...(level === undefined ? {} : { level }) };
  });
  return (input, output, isInline) => codec.encode(input, output, isInline ? inline! : plain!);
}
