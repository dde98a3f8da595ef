/** @throws {RangeError} unless `[start, end)` lies inside of `bytes`. */
export function checkRange(bytes: Uint8Array, start: number, end: number): void {
  if (!(start >= 0 && start <= end && end <= bytes.byteLength)) {
    throw new RangeError(`Cannot take bytes ${start} to ${end}: there are ${bytes.byteLength}`);
  }
}
