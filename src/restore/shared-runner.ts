import type { RestoreRunner } from "./jobs.ts";

/**
 * Lets the calling thread do jobs as well, which it lists: those that the threads have no room for. On few processors a
 * thread less is that much less to start, and the nodes that were read for the listing are at hand.
 */
export class SharedRunner implements RestoreRunner {
  readonly width: number;
  readonly #threads: RestoreRunner;
  readonly #here: RestoreRunner;
  readonly #turn: () => Promise<void>;
  #onThreads = 0;
  #isBusy = false;

  /**
   * @param here Does one job at a time.
   * @param turn Resolves when what the threads have sent has been heard.
   */
  constructor(threads: RestoreRunner, here: RestoreRunner, turn: () => Promise<void>) {
    this.width = threads.width + 1;
    this.#threads = threads;
    this.#here = here;
    this.#turn = turn;
  }

  async run(...args: Parameters<RestoreRunner["run"]>): ReturnType<RestoreRunner["run"]> {
    if (this.#onThreads >= this.#threads.width) await this.#turn();
    if (this.#onThreads < this.#threads.width || this.#isBusy) {
      this.#onThreads++;
      try {
        return await this.#threads.run(...args);
      } finally {
        this.#onThreads--;
      }
    }
    this.#isBusy = true;
    try {
      return await this.#here.run(...args);
    } finally {
      this.#isBusy = false;
    }
  }
}
