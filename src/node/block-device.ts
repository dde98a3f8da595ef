import * as fs from "node:fs";

/** Major and minor number of a `dev_t` in the form that Node gives out on Linux. */
export function deviceNumber(rdev: number): string {
  const wide = BigInt(rdev);
  const major = ((wide >> 8n) & 0xfffn) | ((wide >> 32n) & ~0xfffn);
  const minor = (wide & 0xffn) | ((wide >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/** Length of an open block device in bytes: `fstat` says 0. */
export function blockDeviceSize(fd: number, rdev: number): number {
  try {
    // In units of 512 bytes, whatever the device's own sector is.
    const sectors = Number(fs.readFileSync(`/sys/dev/block/${deviceNumber(rdev)}/size`, "utf8"));
    if (Number.isSafeInteger(sectors * 512)) return sectors * 512;
  } catch {
    // Not Linux, or no sysfs.
  }
  return findEnd(fd);
}

const PROBE_BYTES = 4096;

/** Searches for the last whole block that can be read. */
function findEnd(fd: number): number {
  const probe = new Uint8Array(PROBE_BYTES);
  const readable = (block: number): boolean => {
    try {
      return fs.readSync(fd, probe, 0, PROBE_BYTES, block * PROBE_BYTES) === PROBE_BYTES;
    } catch {
      return false;
    }
  };
  if (!readable(0)) return 0;
  let inside = 0;
  let outside = 1;
  while (readable(outside) && outside < 2 ** 40) {
    inside = outside;
    outside *= 2;
  }
  while (outside - inside > 1) {
    const middle = Math.floor((inside + outside) / 2);
    if (readable(middle)) inside = middle;
    else outside = middle;
  }
  return outside * PROBE_BYTES;
}
