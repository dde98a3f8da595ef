// Arithmetic of file offsets: bigints have no Math.

/** The last whole sector's start at or before `value`. */
export function floor(value: bigint, sector: bigint): bigint {
  return value - (value % sector);
}

/** The first whole sector's start at or behind `value`. */
export function ceil(value: bigint, sector: bigint): bigint {
  return floor(value + sector - 1n, sector);
}

export function smaller(a: bigint, b: bigint): bigint {
  if (a < b) return a;
  return b;
}

export function larger(a: bigint, b: bigint): bigint {
  if (a > b) return a;
  return b;
}
