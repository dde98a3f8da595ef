import { allCodecs, type CodecSide } from "./codec.ts";
import { loadPortable } from "./portable.ts";

export type { Codec, Codecs } from "./codec.ts";
export { type Algorithm, type DecodeOptions, type EncodeOptions, MAX_EXTENT_BYTES } from "./options.ts";

export const loadCodec: CodecSide["loadCodec"] = (algorithm) => loadPortable(algorithm);

export const loadCodecs: CodecSide["loadCodecs"] = async () => {
  const [zlib, lzo, zstd] = await Promise.all([loadPortable("zlib"), loadPortable("lzo"), loadPortable("zstd")]);
  return allCodecs({ zlib, lzo, zstd });
};
