import { type Codec, lzo, zlibCodec, zstdCodec } from "./codec.ts";
import type { Algorithm } from "./options.ts";
import type { ZstdLibrary } from "./zstd.ts";

/** The side without anything of the host: the same compressed bytes everywhere. */
export function loadPortable(algorithm: Algorithm): Promise<Codec> {
  return LOADERS[algorithm]();
}

/** Loads once. A failed load (a lost connection, say) is tried again by the next caller. */
export function once<T>(load: () => Promise<T>): () => Promise<T> {
  let loaded: Promise<T> | undefined;
  return () => {
    if (loaded === undefined) {
      loaded = load();
      loaded.catch(() => {
        loaded = undefined;
      });
    }
    return loaded;
  };
}

/** The WebAssembly module is initialised once for all that use it: a second time would pull its memory away. */
export const loadZstdLibrary: () => Promise<ZstdLibrary> = once(async () => {
  const { init, compress, decompress } = await import("@bokuweb/zstd-wasm");
  await init();
  return {
    compress: (data, level) => compress(data, level),
    // Allocates what the frame says it decodes to: the caller has checked it. The capacity is for frames that do not say.
    decompress: (frame, capacity) => decompress(frame, { defaultHeapSize: capacity }),
  };
});

const LOADERS: Readonly<Record<Algorithm, () => Promise<Codec>>> = {
  lzo: async () => lzo,
  zlib: once(async () => {
    const { zlibSync } = await import("fflate");
    return zlibCodec("javascript", (data, level) => zlibSync(data, { level: level as 1 }));
  }),
  zstd: once(async () => zstdCodec("wasm", await loadZstdLibrary())),
};
