import { spawnSync } from "node:child_process";
import { resolve } from "node:path";

export const BIN = resolve(import.meta.dirname, "../../dist/cli/bin.js");

export interface Ran {
  readonly stdout: Buffer;
  readonly stderr: string;
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Runs the built command, as a person would. `npm test` builds before it tests. */
export function btrkit(args: readonly string[], options: { input?: Uint8Array; env?: NodeJS.ProcessEnv } = {}): Ran {
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, [BIN, ...args], {
    input: options.input ?? new Uint8Array(0),
    env: { ...process.env, ...options.env },
    maxBuffer: 1 << 28,
    timeout: 60_000,
  });
  return { stdout, stderr: stderr.toString("latin1"), status, signal };
}
