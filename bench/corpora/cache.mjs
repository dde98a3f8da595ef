// Corpora are made once and kept: `.bench/` in the checkout, or BTRKIT_BENCH_DIR.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

/**
 * How to make a corpus in an empty folder. What `build` returns must survive JSON; a new `version` makes it anew.
 *
 * @template {object} Facts
 * @typedef {{ name: string, version: number, build: (folder: string, cache: Cache) => Facts }} Recipe
 */

export class Cache {
  /** @param {{ quick: boolean }} options */
  constructor({ quick }) {
    /** Quick corpora are a fiftieth of the full ones; their figures are for trying the bench out. */
    this.scale = quick ? 0.02 : 1;
    this.root = resolve(
      process.env.BTRKIT_BENCH_DIR ?? join(import.meta.dirname, "../../.bench"),
      quick ? "quick" : "full",
    );
    mkdirSync(this.root, { recursive: true });
  }

  /**
   * The corpus, made now if it is not there. An interrupted making leaves nothing under the corpus's name.
   *
   * @template {object} Facts
   * @param {Recipe<Facts>} recipe
   * @returns {Facts & { folder: string }}
   */
  get({ name, version, build }) {
    const folder = join(this.root, name);
    const made = join(folder, "made.json");
    if (existsSync(made)) {
      const { version: has, facts } = JSON.parse(readFileSync(made, "utf8"));
      if (has === version) return { ...facts, folder };
    }
    console.error(`making the corpus ${name}`);
    const partial = `${folder}.partial`;
    for (const old of [folder, partial]) rmSync(old, { recursive: true, force: true });
    mkdirSync(partial);
    const facts = build(partial, this);
    writeFileSync(join(partial, "made.json"), JSON.stringify({ version, facts }));
    renameSync(partial, folder);
    return { ...facts, folder };
  }

  /**
   * A count or size of the full corpora, cut down for quick ones.
   *
   * @param {number} full
   */
  scaled(full) {
    return Math.max(1, Math.round(full * this.scale));
  }
}
