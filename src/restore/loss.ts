import type { BtrfsError } from "../errors.ts";
import type { RestoreCounts, RestoreProblem } from "./report.ts";

/** Gathers what one file has lost; stretches that meet become one. */
export class LossRecorder {
  readonly #into: { readonly counts: RestoreCounts; readonly problems: RestoreProblem[] };
  readonly #path: Uint8Array;
  #open: { start: bigint; end: bigint; readonly error: BtrfsError } | undefined;
  #any = false;

  constructor(into: { readonly counts: RestoreCounts; readonly problems: RestoreProblem[] }, path: Uint8Array) {
    this.#into = into;
    this.#path = path;
  }

  readonly add = (start: bigint, end: bigint, error: BtrfsError): void => {
    this.#any = true;
    this.#into.counts.lostBytes += Number(end - start);
    if (this.#open !== undefined && this.#open.end === start) {
      this.#open.end = end;
      return;
    }
    this.#close();
    this.#open = { start, end, error };
  };

  /** Whether anything is lost. */
  end(): boolean {
    this.#close();
    return this.#any;
  }

  #close(): void {
    if (this.#open === undefined) return;
    const { start, end, error } = this.#open;
    this.#open = undefined;
    const { sentence, where } = error;
    this.#into.problems.push({ kind: "lost", path: this.#path, range: { start, end }, sentence, where });
  }
}
