import { BtrfsError } from "../errors.ts";
import { joinPath } from "../fs/path.ts";
import type { RestoreResult } from "./batch.ts";
import { addCounts, noCounts, type ProblemKind, type RestoreProblem, type RestoreSummary } from "./report.ts";

export interface LogOptions {
  readonly onProblem?: ((problem: RestoreProblem) => void) | undefined;
  readonly onProgress?: ((progress: RestoreProgress) => void) | undefined;
  /** Hears of names that are restored: their paths in the image. */
  readonly onRestored?: ((path: Uint8Array) => void) | undefined;
}

export interface RestoreProgress {
  /** Written so far. */
  readonly bytes: number;
  readonly names: number;
}

/** Adds up what is restored, and passes on what is not. */
export class Log {
  readonly counts = noCounts();
  readonly #problems: Record<ProblemKind, number> = { lost: 0, exists: 0, failed: 0 };
  readonly #options: LogOptions;

  constructor(options: LogOptions) {
    this.#options = options;
  }

  take(result: RestoreResult): void {
    addCounts(this.counts, result.counts);
    for (const problem of result.problems) this.#report(problem);
    const { files, symlinks, specials, hardLinks, directories, bytes } = this.counts;
    this.#options.onProgress?.({ bytes, names: files + symlinks + specials + hardLinks + directories });
  }

  /** @param directory In the image. */
  restored(directory: Uint8Array, name: Uint8Array): void {
    this.#options.onRestored?.(joinPath(directory, name));
  }

  /** @throws what is no `BtrfsError`. */
  tell(kind: ProblemKind, path: Uint8Array, error: unknown, act?: string): void {
    if (!(error instanceof BtrfsError)) throw error;
    const sentence = act === undefined ? error.sentence : `${act}: ${error.sentence}`;
    this.#report({ kind, path, sentence, where: error.where });
  }

  summary(): RestoreSummary {
    return { ...this.counts, problems: this.#problems };
  }

  #report(problem: RestoreProblem): void {
    this.#problems[problem.kind]++;
    this.#options.onProblem?.(problem);
  }
}
