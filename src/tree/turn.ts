/** How long a loop goes on without letting the host have a turn. */
const MAX_MILLISECONDS = 100;

let last = performance.now();

/**
 * A turn for the host when it is due, else `undefined`. Nodes that are cached, or are read without waiting, never let go
 * of the thread: without a turn now and then no timer fires, and nobody hears that a walk should end.
 */
export function turnIfDue(): Promise<void> | undefined {
  if (performance.now() - last < MAX_MILLISECONDS) return undefined;
  return new Promise((resolve) =>
    setTimeout(() => {
      last = performance.now();
      resolve();
    }),
  );
}
