import type { Random } from "../kernel/support/random.ts";

const SECTOR = 4096;

/**
 * Strings of one length that leave a crc32c, whatever came before, at the same value: names of such pieces collide, in
 * directories as in attributes.
 */
const TWINS = [
  ["onenudx", "ihklmbl"],
  ["nfhderh", "meoeiqb"],
  ["yawtnzb", "zbpubyh"],
] as const;

/** One of eight names with the same hash, if `prefix` and `suffix` are the same. */
export function collidingName(random: Random, prefix: string, suffix: string): string {
  return `${prefix}${TWINS.map((pair) => random.pick(pair)).join("")}${suffix}`;
}

/** A place in a file of `size` bytes, its end included; often where a sector begins. */
export function randomOffset(random: Random, size: number): number {
  const offset = random.between(0, size);
  return random.chance(40) ? Math.floor(offset / SECTOR) * SECTOR : offset;
}

/** A length from 1 byte to about `most`: tiny, small and long ones; often whole sectors. */
export function randomLength(random: Random, most: number): number {
  const scale = random.weighted({ tiny: 3, small: 4, large: 3 });
  if (scale === "tiny") return random.between(1, 2500);
  const length = random.between(1, scale === "small" ? 20_000 : most);
  return random.chance(30) ? Math.ceil(length / SECTOR) * SECTOR : length;
}

/** Bytes of which some compress and some do not. */
export function randomData(random: Random, length: number): Uint8Array {
  const data = new Uint8Array(length);
  for (let from = 0; from < length; ) {
    const to = Math.min(length, from + random.between(1, 60_000));
    const kind = random.between(0, 2);
    if (kind === 0) for (let at = from; at < to; at++) data[at] = random.word();
    else if (kind === 1) data.fill(random.between(0, 255), from, to);
    else for (let at = from; at < to; at++) data[at] = 97 + (at % 23) + (at % 1000 === 0 ? random.between(0, 9) : 0);
    from = to;
  }
  return data;
}

/** Bytes that every algorithm makes shorter. */
export function compressibleData(random: Random, length: number): Uint8Array {
  const data = new Uint8Array(length);
  const period = random.between(3, 400);
  const seed = random.between(0, 255);
  for (let at = 0; at < length; at++) data[at] = seed + (at % period) + (at % 4099 === 0 ? random.between(0, 9) : 0);
  return data;
}

/** The first `size` bytes of `content`, with zeros behind it. */
export function resized(content: Uint8Array, size: number): Uint8Array {
  const next = new Uint8Array(size);
  next.set(content.subarray(0, size));
  return next;
}

/** `content` with `data` at `offset`, longer where it has to be. */
export function overwritten(content: Uint8Array, offset: number, data: Uint8Array): Uint8Array {
  const next = resized(content, Math.max(content.byteLength, offset + data.byteLength));
  next.set(data, offset);
  return next;
}
