import type { Transaction } from "../../src/transaction/transaction.ts";
import type { WritableVolume } from "../../src/transaction/writable.ts";
import { Random } from "../kernel/support/random.ts";
import * as content from "./history-content.ts";
import * as names from "./history-names.ts";
import type { StepFunction } from "./history-step.ts";
import * as subvolumes from "./history-subvolumes.ts";
import { ImageModel } from "./image-model.ts";

const STEPS = {
  create: content.create,
  write: content.write,
  overwrite: content.overwrite,
  truncate: content.truncate,
  punch: content.punch,
  preallocate: content.preallocate,
  clone: content.clone,
  encoded: content.encoded,
  directory: names.directory,
  symlink: names.symlink,
  special: names.special,
  link: names.link,
  linkOften: names.linkOften,
  rename: names.rename,
  renameDirectory: names.renameDirectory,
  unlink: names.unlink,
  removeDirectory: names.removeDirectory,
  attributes: names.attributes,
  xattr: names.xattr,
  removeXattr: names.removeXattr,
  fill: names.fill,
  clear: names.clear,
  subvolume: subvolumes.subvolume,
  snapshot: subvolumes.snapshot,
  deleteSubvolume: subvolumes.deleteSubvolume,
  setDefault: subvolumes.setDefault,
  setReadOnly: subvolumes.setReadOnly,
} satisfies Record<string, StepFunction>;

export type StepKind = keyof typeof STEPS;

const EVERYTHING: Record<StepKind, number> = {
  create: 4,
  write: 12,
  overwrite: 10,
  truncate: 5,
  punch: 5,
  preallocate: 3,
  clone: 9,
  encoded: 9,
  directory: 3,
  symlink: 2,
  special: 1,
  link: 2,
  linkOften: 1,
  rename: 4,
  renameDirectory: 1,
  unlink: 6,
  removeDirectory: 1,
  attributes: 2,
  xattr: 4,
  removeXattr: 1,
  fill: 2,
  clear: 1,
  subvolume: 1,
  snapshot: 4,
  deleteSubvolume: 2,
  setDefault: 1,
  setReadOnly: 1,
};

/** What histories dwell on: so often each step comes. */
export const HISTORY_PROFILES = {
  everything: EVERYTHING,
  /** Small items in large trees. */
  trees: { ...EVERYTHING, fill: 25, clear: 4, linkOften: 5, xattr: 10, snapshot: 6, write: 4, overwrite: 4 },
  /** Few files, whose extents are cut and shared again and again. */
  extents: { ...EVERYTHING, create: 1, write: 4, overwrite: 25, punch: 14, clone: 25, encoded: 20, fill: 0 },
  /** Trees that share their blocks, and part. */
  snapshots: { ...EVERYTHING, snapshot: 18, deleteSubvolume: 10, subvolume: 4, fill: 5, setReadOnly: 4 },
} satisfies Record<string, Record<StepKind, number>>;

export type HistoryProfile = keyof typeof HISTORY_PROFILES;

/** A history of an image, and in memory what comes of it. Each step has a seed of its own: steps can be left out. */
export class ImageHistory {
  model = new ImageModel();
  /** Longest write in bytes. */
  readonly maxBytes: number;
  readonly profile: HistoryProfile;
  /** What was done, in words. */
  readonly log: string[] = [];
  #steps = 0;

  constructor(maxBytes = 300_000, profile: HistoryProfile = "everything") {
    this.maxBytes = maxBytes;
    this.profile = profile;
  }

  /** One transaction of these steps. A throw leaves the model as it was, as it does the image. */
  async run(volume: WritableVolume, seeds: readonly number[]): Promise<void> {
    const before = this.model.copy();
    try {
      await volume.transaction(async (tx) => {
        for (const seed of seeds) await this.step(tx, seed);
      });
    } catch (error) {
      this.model = before;
      throw error;
    }
  }

  async step(tx: Transaction, seed: number): Promise<void> {
    const random = new Random(seed);
    const { model, maxBytes, log } = this;
    const kind = random.weighted(HISTORY_PROFILES[this.profile]);
    const subvolume = random.pick([...model.subvolumes.values()].filter(({ readOnly }) => !readOnly));
    log.push(`${kind} in ${subvolume.id}`);
    const now = 1_700_000_000_000_000_000n + BigInt(this.#steps++) * 1_000_000_007n;
    let made = 0;
    await STEPS[kind]({
      at: { tx, tree: subvolume.id, now },
      model,
      subvolume,
      random,
      maxBytes,
      // By the step's seed: the same name, whatever steps came before.
      newName: () => {
        const long = random.chance(10) ? "n".repeat(random.between(1, 200)) : "";
        return `${seed.toString(36)}${made++ === 0 ? "" : `-${made}`}${long}`;
      },
      note: (what) => log.push(`  ${what}`),
    });
  }
}

/** Seeds of so many steps. */
export function stepSeeds(random: Random, count: number): number[] {
  return Array.from({ length: count }, () => random.word());
}
