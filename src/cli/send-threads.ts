import { availableParallelism } from "node:os";
import { UsageError } from "./options.ts";

interface ThreadOptions {
  readonly threads: string | undefined;
  readonly compressed: boolean;
  readonly parent: readonly string[];
  readonly clones: readonly string[];
}

/**
 * Threads that send. Unless said, as many as there are processors. With two of them, the engine's own compiler needs the other one:
 * a compressed increment, where the search for what changed is most of the work, takes no more time on one thread, and less of
 * the processors.
 */
export function sendThreadCount(options: ThreadOptions, processors = availableParallelism()): number {
  const { threads: given, compressed, parent, clones } = options;
  if (given === undefined) {
    const isIncrement = parent.length > 0 || clones.length > 0;
    return processors === 2 && compressed && isIncrement ? 1 : processors;
  }
  const count = Number(given);
  if (/^\d+$/.test(given) && count >= 1 && count <= 256) return count;
  throw new UsageError(`option '--threads' can't be '${given}', expected a number from 1 to 256`);
}
