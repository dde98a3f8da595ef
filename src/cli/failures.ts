import { BtrfsError } from "../errors.ts";
import { EXIT, errorLines, exitStatus } from "./exit.ts";

/** Errors that a command says and goes on after; its exit status is that of the worst. */
export class Failures {
  readonly #say: (line: string) => void;
  #status: number = EXIT.done;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  /** Says what went wrong. What is no `BtrfsError` is thrown: an abort, or the reader of the output went away. */
  readonly note = (error: unknown): void => {
    if (!(error instanceof BtrfsError)) throw error;
    for (const line of errorLines(error, "", false, false)) this.#say(line);
    this.#status = Math.max(this.#status, exitStatus(error, false));
  };

  get status(): number {
    return this.#status;
  }
}
