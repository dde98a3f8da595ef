/**
 * Waits until all have settled, and then fails with the first failure there was.
 *
 * `Promise.all` fails at once, while the others still write to their targets: over what has been read again meanwhile
 * from a better copy, or over what the caller has put there next.
 */
export async function allDone(running: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(running)).find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}
