// Whole command processes, timed from outside: start-up, threads and system time all count.
import { spawnSync } from "node:child_process";
import { join } from "node:path";

/**
 * What one command cost: seconds, and peak resident bytes.
 *
 * @typedef {{ elapsed: number, user: number, sys: number, rss: number }} Cost
 */

/**
 * A command to measure. `before` runs untimed ahead of every round.
 *
 * @typedef {{ command: string[], before?: () => void, cwd?: string, exits?: number[] }} Runnable
 */

/**
 * The least of several rounds, each figure on its own but for `rss`, which is the largest seen; or why there is none.
 *
 * @typedef {{ cost: Cost, rounds: number } | { absent: string }} Outcome
 */

/** Something this machine lacks. The row that needs it says so and the others go on. */
export class Unavailable extends Error {}

/** Node reads the certificates that this names whenever it starts, which takes longer than all else in its start. */
const { NODE_EXTRA_CA_CERTS: _, ...ENV } = process.env;

const WAIT4 = join(import.meta.dirname, "wait4.py");

/**
 * @param {Runnable} runnable
 * @returns {Cost}
 */
function once({ command, before, cwd, exits = [0] }) {
  before?.();
  const { stdout, stderr, error, status } = spawnSync("python3", [WAIT4, ...command], {
    encoding: "utf8",
    env: ENV,
    ...(cwd === undefined ? {} : { cwd }),
    maxBuffer: 1 << 28,
  });
  if (error !== undefined) throw new Unavailable(`python3 (which reads a child's resource usage): ${error.message}`);
  if (status !== 0) throw new Unavailable(lastLine(stderr));
  const { exit, ...cost } = JSON.parse(stdout);
  if (!exits.includes(exit)) throw new Unavailable(`\`${command.join(" ")}\` gave ${exit}: ${lastLine(stderr)}`);
  return cost;
}

/** @param {string} text */
function lastLine(text) {
  return text.trimEnd().split("\n").at(-1) ?? "";
}

/**
 * @param {Cost} a
 * @param {Cost} b
 * @returns {Cost}
 */
function least(a, b) {
  return {
    elapsed: Math.min(a.elapsed, b.elapsed),
    user: Math.min(a.user, b.user),
    sys: Math.min(a.sys, b.sys),
    rss: Math.max(a.rss, b.rss),
  };
}

/**
 * Runs the contenders in turn, `rounds` times over, so that a slow moment of the machine strikes all of them. The order
 * turns by one each round.
 *
 * @param {Record<string, Runnable | Unavailable>} contenders
 * @param {number} rounds
 * @returns {Record<string, Outcome>}
 */
export function interleave(contenders, rounds) {
  /** @type {Record<string, Outcome>} */
  const outcomes = {};
  const names = Object.keys(contenders);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < names.length; turn++) {
      const name = /** @type {string} */ (names[(round + turn) % names.length]);
      const runnable = contenders[name];
      const so = outcomes[name];
      if (runnable === undefined || (so !== undefined && "absent" in so)) continue;
      try {
        if (runnable instanceof Unavailable) throw runnable;
        const cost = once(runnable);
        outcomes[name] = { cost: so === undefined ? cost : least(so.cost, cost), rounds: round + 1 };
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        outcomes[name] = { absent: error.message };
      }
    }
  }
  return outcomes;
}
