import type { Place } from "../edit/place.ts";
import type { Transaction } from "../transaction/transaction.ts";
import type { WritableVolume } from "../transaction/writable.ts";

export interface BatchOptions {
  /** Bytes of tree blocks that may wait in memory: then what is there so far is committed. 48 MiB by default. */
  readonly treeBytes?: number | undefined;
  /** Bytes of data that may wait for a commit. 512 MiB by default. */
  readonly dataBytes?: number | undefined;
  /** Nanoseconds since 1970: the clock by default. */
  readonly now?: (() => bigint) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const TREE_BYTES = 48 << 20;
const DATA_BYTES = 512 << 20;

/** A long job in transactions, one after the other. What is not committed when it fails was never there. */
export class Batches {
  readonly #volume: WritableVolume;
  readonly #options: BatchOptions;
  readonly #now: () => bigint;
  #tx: Transaction | undefined;
  #dataBytes = 0;

  constructor(volume: WritableVolume, options: BatchOptions = {}) {
    this.#volume = volume;
    this.#options = options;
    this.#now = options.now ?? (() => BigInt(Date.now()) * 1_000_000n);
  }

  /** A subvolume in the running transaction. */
  async place(tree: bigint): Promise<Place> {
    this.#tx ??= await this.#volume.begin();
    return { tx: this.#tx, tree, now: this.#now() };
  }

  /**
   * Called where what was done is whole: commits when much of it waits.
   *
   * @param dataBytes Written since the last call.
   */
  async breathe(dataBytes: number): Promise<void> {
    this.#options.signal?.throwIfAborted();
    this.#dataBytes += dataBytes;
    const { treeBytes = TREE_BYTES, dataBytes: most = DATA_BYTES } = this.#options;
    if ((this.#tx?.dirtyBytes ?? 0) > treeBytes || this.#dataBytes > most) await this.commit();
  }

  async commit(): Promise<void> {
    const tx = this.#tx;
    this.#tx = undefined;
    this.#dataBytes = 0;
    if (tx !== undefined) await this.#volume.commit(tx);
  }

  /** Forgets what was not committed. */
  abandon(): void {
    if (this.#tx !== undefined) this.#volume.abandon(this.#tx);
    this.#tx = undefined;
    this.#dataBytes = 0;
  }
}
