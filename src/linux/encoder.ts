import { type Compress, type Encode, makeEncoder } from "../codec/encoder.ts";
import { findZstdEncoder } from "./libzstd.ts";

/** The quickest that this host has: the zstd library of the system, or else what the codecs have. */
export async function hostEncoder(compress: Compress, sectorSize: number): Promise<Encode> {
  const own = compress.algorithm === "zstd" ? findZstdEncoder(compress.level ?? 3) : undefined;
  return own ?? makeEncoder(compress, sectorSize);
}
