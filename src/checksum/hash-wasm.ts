import type { Digest } from "./checksum.ts";

export async function loadSha256(): Promise<Digest> {
  const { createSHA256 } = await import("hash-wasm");
  return digestOf(await createSHA256());
}

/** BLAKE2b with an output of 32 bytes: the length is a parameter of the hash, so BLAKE2b-512 cut short is another value. */
export async function loadBlake2b(): Promise<Digest> {
  const { createBLAKE2b } = await import("hash-wasm");
  return digestOf(await createBLAKE2b(256));
}

interface Hasher {
  init(): unknown;
  update(data: Uint8Array): unknown;
  digest(form: "binary"): Uint8Array;
}

function digestOf(hasher: Hasher): Digest {
  return (data, start, end, target, at) => {
    hasher.init();
    hasher.update(data.subarray(start, end));
    target.set(hasher.digest("binary"), at);
  };
}
