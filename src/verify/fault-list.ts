import type { StreamFault } from "./report.ts";

/** About what the faults that a report lists may take, in bytes. A hostile stream can hold one in every few bytes. */
const MAX_LIST_BYTES = 16 * 1024 * 1024;
const FAULT_BYTES = 512;
/** A byte of a name counts for what it becomes in JSON. */
const NAME_FACTOR = 4;

/** The faults found so far: all are told and counted, as many are kept as fit a bounded memory. */
export class FaultList {
  readonly #onFault: ((fault: StreamFault) => unknown) | undefined;
  readonly #kept: StreamFault[] = [];
  #count = 0;
  #bytes = 0;
  /** What `onFault` still has to do. */
  #telling: Promise<unknown> | undefined;

  constructor(onFault: ((fault: StreamFault) => unknown) | undefined) {
    this.#onFault = onFault;
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Faults that were told, but are not among the kept ones. */
  get omitted(): number {
    return this.#count - this.#kept.length;
  }

  add(fault: StreamFault): void {
    this.#count++;
    this.#bytes += FAULT_BYTES + NAME_FACTOR * (fault.path?.byteLength ?? 0);
    for (const { path } of fault.lost) this.#bytes += NAME_FACTOR * path.byteLength;
    if (this.#bytes <= MAX_LIST_BYTES) this.#kept.push(fault);
    const telling = this.#onFault?.(fault);
    if (telling === undefined) return;
    this.#telling = Promise.all([this.#telling, telling]);
    // Judged where it is awaited; until then a failure is no unhandled rejection.
    this.#telling.catch(() => {});
  }

  /** Waits for what `onFault` does. */
  async told(): Promise<void> {
    const telling = this.#telling;
    this.#telling = undefined;
    await telling;
  }

  /** The kept ones, in the order of the streams. */
  sorted(): StreamFault[] {
    return this.#kept.sort((a, b) => a.stream - b.stream || a.streamOffset - b.streamOffset);
  }
}
