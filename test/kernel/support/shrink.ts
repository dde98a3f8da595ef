/**
 * Leaves out what is not needed for a failure: halves first, then smaller and smaller pieces.
 *
 * @param fails Whether a shorter list still fails. It is asked at most `maxTries` times.
 */
export async function shrink<T>(
  items: readonly T[],
  fails: (items: readonly T[]) => Promise<boolean>,
  maxTries: number,
): Promise<readonly T[]> {
  let least = items;
  let tries = 0;
  for (let size = Math.ceil(items.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < least.length && tries < maxTries; ) {
      const fewer = [...least.slice(0, at), ...least.slice(at + size)];
      tries++;
      if (await fails(fewer)) least = fewer;
      else at += size;
    }
  }
  return least;
}
