import { type Digest, putU32 } from "./checksum.ts";

/** What is hashed at once at most: the wasm side's memory grows to it and stays so. */
const PIECE = 64 * 1024;

/** XXH64 with seed 0, stored as a little-endian u64 (the canonical form of xxHash is big endian). */
export async function loadXxhash64(): Promise<Digest> {
  const { default: load } = await import("xxhash-wasm");
  const { h64Raw, create64 } = await load();

  function inPieces(data: Uint8Array): bigint {
    const state = create64();
    for (let at = 0; at < data.byteLength; at += PIECE) state.update(data.subarray(at, at + PIECE));
    return state.digest();
  }

  return (data, start, end, target, at) => {
    const bytes = data.subarray(start, end);
    const hash = bytes.byteLength <= PIECE ? h64Raw(bytes) : inPieces(bytes);
    putU32(target, at, Number(hash & 0xffff_ffffn));
    putU32(target, at + 4, Number(hash >> 32n));
  };
}
