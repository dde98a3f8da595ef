import { spawnSync } from "node:child_process";
import type { ByteStore } from "../../../src/device/source.ts";
import { BtrfsError } from "../../../src/errors.ts";
import { type MakeOptions, makeFilesystem } from "../../../src/mkfs/mkfs.ts";
import { openWritableVolume, type WritableVolume } from "../../../src/transaction/writable.ts";
import { type HistoryProfile, ImageHistory } from "../../support/image-history.ts";
import type { ImageModel } from "../../support/image-model.ts";
import { expectSameAsModel } from "../../support/same-as-model.ts";
import { changeByKernel } from "./kernel-steps.ts";
import { Random } from "./random.ts";
import { expectMountedSameAsModel } from "./same-as-mounted.ts";
import { WrittenImage } from "./written.ts";

/** The filesystem that a history begins with. */
export interface HistoryImage {
  /** Made by btrkit with these options; or by `mkfs.btrfs`. */
  readonly make?: MakeOptions;
  readonly mkfs?: readonly string[];
  readonly devices?: number;
  /** Of each device. */
  readonly sizeMiB: number;
}

export type HistoryEvent =
  /** A step of btrkit; with `ends`, the last of its transaction. */
  | { readonly by: "btrkit"; readonly seed: number; readonly ends: boolean }
  /** Mounted, compared, changed by the kernel, scrubbed. */
  | { readonly by: "kernel"; readonly seed: number; readonly mount?: string };

export interface HistoryPlan {
  readonly image: HistoryImage;
  readonly profile: HistoryProfile;
  /** Longest write in bytes. */
  readonly maxBytes: number;
  readonly events: readonly HistoryEvent[];
}

export interface HistoryCounts {
  transactions: number;
  /** Transactions that found no room, and left all as it was. */
  full: number;
  checks: number;
  comparisons: number;
}

/** A history went wrong; `after` events. */
export class HistoryFailure extends Error {
  readonly after: number;
  readonly log: readonly string[];

  constructor(after: number, log: readonly string[], cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.after = after;
    this.log = log;
  }
}

/** Filesystems above this are looked at after every tenth transaction. */
const SMALL_BYTES = 6 << 20;

/**
 * Runs a history, with `btrfs check` and a comparison with the model after every transaction while the image is small and
 * after every tenth later; before and after the kernel; and at the end.
 *
 * @param thorough Off: the last event is all that is checked.
 * @throws {HistoryFailure}
 */
export async function runHistory(plan: HistoryPlan, thorough = true): Promise<HistoryCounts> {
  await using image = new WrittenImage(plan.image.sizeMiB, plan.image.devices);
  const running = new RunningHistory(plan, image, thorough);
  return await running.run();
}

class RunningHistory {
  readonly counts: HistoryCounts = { transactions: 0, full: 0, checks: 0, comparisons: 0 };
  readonly #plan: HistoryPlan;
  readonly #image: WrittenImage;
  readonly #thorough: boolean;
  readonly #history: ImageHistory;
  #done = 0;
  #sinceCheck = 0;

  constructor(plan: HistoryPlan, image: WrittenImage, thorough: boolean) {
    this.#plan = plan;
    this.#image = image;
    this.#thorough = thorough;
    this.#history = new ImageHistory(plan.maxBytes, plan.profile);
  }

  async run(): Promise<HistoryCounts> {
    const { events } = this.#plan;
    try {
      await this.#make();
      while (this.#done < events.length) {
        const event = events[this.#done]!;
        if (event.by === "kernel") {
          await this.#byKernel(event.seed, event.mount);
          this.#done++;
        } else await this.#image.openAll((stores) => this.#byBtrkit(stores));
      }
      return this.counts;
    } catch (error) {
      this.#keep();
      throw new HistoryFailure(this.#done, this.#history.log, error);
    }
  }

  /** The image as it is, where BTRKIT_KEEP_IMAGE names a place. */
  #keep(): void {
    const { BTRKIT_KEEP_IMAGE: place } = process.env;
    if (place === undefined) return;
    for (const [index, path] of this.#image.paths.entries()) {
      spawnSync("cp", ["--sparse=always", path, `${place}-${index + 1}`]);
    }
  }

  async #make(): Promise<void> {
    const { make, mkfs } = this.#plan.image;
    if (mkfs === undefined) await this.#image.open((store) => makeFilesystem(store, make));
    else await this.#image.make(mkfs);
  }

  /** Transactions up to the next event of the kernel, or the end. */
  async #byBtrkit(stores: readonly ByteStore[]): Promise<void> {
    const { events } = this.#plan;
    const volume = await openWritableVolume(stores);
    for (;;) {
      const seeds: number[] = [];
      let next = this.#done;
      for (let event = events[next]; event?.by === "btrkit"; event = events[next]) {
        seeds.push(event.seed);
        next++;
        if (event.ends) break;
      }
      if (seeds.length === 0) return;
      this.#history.log.push(`-- event ${this.#done}`);
      await this.#transaction(volume, seeds);
      this.#done = next;
      const isLast = next === events.length || events[next]!.by === "kernel";
      await this.#look(volume, stores, isLast);
    }
  }

  async #transaction(volume: WritableVolume, seeds: readonly number[]): Promise<void> {
    try {
      await this.#history.run(volume, seeds);
      this.counts.transactions++;
    } catch (error) {
      if (!isFull(error)) throw error;
      this.#history.log.push("  no room");
      this.counts.full++;
    }
  }

  async #look(volume: WritableVolume, stores: readonly ByteStore[], isLast: boolean): Promise<void> {
    this.#sinceCheck++;
    const isSmall = Number(volume.volume.superblock.bytesUsed) < SMALL_BYTES;
    const isTenth = this.#sinceCheck >= 10;
    if (!(isLast || (this.#thorough && (isSmall || isTenth)))) return;
    await this.#compare(stores);
    await this.#check(isLast || isTenth);
    if (isTenth) this.#sinceCheck = 0;
  }

  async #compare(stores: readonly ByteStore[]): Promise<void> {
    await expectSameAsModel(stores, this.#model);
    this.counts.comparisons++;
  }

  async #check(both: boolean): Promise<void> {
    await this.#image.check(both ? ["original", "lowmem"] : ["original"]);
    this.counts.checks++;
  }

  async #byKernel(seed: number, mount: string | undefined): Promise<void> {
    this.#history.log.push(`-- event ${this.#done}: the kernel`);
    const random = new Random(seed);
    await this.#image.mounted(async (directory) => {
      await expectMountedSameAsModel(directory, this.#model);
      await changeByKernel(directory, this.#model, random, 12, this.#plan.maxBytes);
    }, mount);
    await this.#check(true);
    await this.#image.openAll((stores) => this.#compare(stores));
  }

  get #model(): ImageModel {
    return this.#history.model;
  }
}

function isFull(error: unknown): boolean {
  if (!(error instanceof BtrfsError)) return false;
  return error.code === "space" || (error.cause instanceof BtrfsError && error.cause.code === "space");
}
