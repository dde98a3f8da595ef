import { type Codec, lzo, zlibCodec, zstdCodec } from "./codec.ts";
import type { Algorithm } from "./options.ts";

// Each is loaded once. A failed load (a lost connection, say) is tried again by the next caller.
const loaded = new Map<Algorithm, Promise<Codec>>();

/** The side without anything of the host: the same compressed bytes everywhere. */
export function loadPortable(algorithm: Algorithm): Promise<Codec> {
  let codec = loaded.get(algorithm);
  if (codec === undefined) {
    codec = LOADERS[algorithm]();
    loaded.set(algorithm, codec);
    codec.catch(() => loaded.delete(algorithm));
  }
  return codec;
}

const LOADERS: Readonly<Record<Algorithm, () => Promise<Codec>>> = {
  lzo: async () => lzo,
  zlib: async () => {
    const { zlibSync } = await import("fflate");
    return zlibCodec("javascript", (data, level) => zlibSync(data, { level: level as 1 }));
  },
  zstd: async () => {
    const { init, compress, decompress } = await import("@bokuweb/zstd-wasm");
    await init();
    return zstdCodec("wasm", {
      compress: (data, level) => compress(data, level),
      // Allocates what the frame says it decodes to: the caller has checked it. The capacity is for frames that do not say.
      decompress: (frame, capacity) => decompress(frame, { defaultHeapSize: capacity }),
    });
  },
};
