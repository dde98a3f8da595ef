// What a benchmark is, and what most of them share.
import { spawnSync } from "node:child_process";
import { existsSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { Unavailable } from "./measure.mjs";

/**
 * What an issue asks: so many times as fast as the peer in elapsed time, and a peak below so many MiB.
 *
 * @typedef {{ atLeast?: number, peakMiB?: number }} Bar
 */

/**
 * The contenders of a benchmark on a corpus that is ready.
 *
 * @typedef {object} Contest
 * @property {number} amount
 * @property {"bytes" | "commands" | "files"} unit
 * @property {import("./measure.mjs").Runnable | Unavailable} ours
 * @property {import("./measure.mjs").Runnable | Unavailable} [peer]
 * @property {import("./measure.mjs").Runnable | Unavailable} [limit]
 * @property {() => string[]} [check] proves that ours and the peer do the same work; gives remarks for the table
 * @property {() => void} [done] cleans up
 */

/**
 * @typedef {object} Benchmark
 * @property {string} name
 * @property {string} [needs] the command that it measures, where that may not be there yet
 * @property {number} issue
 * @property {string} title
 * @property {string} peer
 * @property {Bar} bar
 * @property {(corpora: import("./corpora/cache.mjs").Cache) => Contest} prepare
 */

const ROOT = join(import.meta.dirname, "..");
const BIN = join(ROOT, "dist/cli/bin.js");

/**
 * Our command, as it is built.
 *
 * @param {readonly string[]} args
 * @returns {import("./measure.mjs").Runnable | Unavailable}
 */
export function btrkit(...args) {
  if (!existsSync(BIN)) return new Unavailable("dist/cli/bin.js is not there: `npm run build` makes it");
  return { command: [process.execPath, BIN, ...args] };
}

/**
 * The same, with something more; what is absent stays so.
 *
 * @param {import("./measure.mjs").Runnable | Unavailable} runnable
 * @param {Partial<import("./measure.mjs").Runnable>} more
 * @returns {import("./measure.mjs").Runnable | Unavailable}
 */
export function but(runnable, more) {
  return runnable instanceof Unavailable ? runnable : { ...runnable, ...more };
}

/** What `btrkit --help` says, empty where btrkit is not built. */
export function help() {
  return existsSync(BIN) ? spawnSync(process.execPath, [BIN, "--help"], { encoding: "utf8" }).stdout : "";
}

/**
 * One of this folder's own programs.
 *
 * @param {string} script
 * @param {readonly string[]} args
 */
export function script(script, ...args) {
  return { command: [process.execPath, join(import.meta.dirname, script), ...args] };
}

/**
 * A command of the machine; absent where it is not installed.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @returns {import("./measure.mjs").Runnable | Unavailable}
 */
export function installed(program, ...args) {
  return isInstalled(program) ? { command: [program, ...args] } : new Unavailable(`${program} is not installed`);
}

/** @param {string} program */
export function isInstalled(program) {
  const folders = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"];
  return folders.some((folder) => existsSync(join(folder, program)));
}

/**
 * Reads a file once, so that every contender finds it in the page cache.
 *
 * @param {string} file
 */
export function warm(file) {
  const chunk = new Uint8Array(1 << 20);
  const fd = openSync(file, "r");
  while (readSync(fd, chunk) > 0);
}
