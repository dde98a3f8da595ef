import { spawnSync } from "node:child_process";

/** Why the comparison with `btrfs receive --dump` can't be made here; `undefined` when it can. */
export function noPeer(): string | undefined {
  const { stdout, error } = spawnSync("btrfs", ["--version"], { encoding: "utf8" });
  if (error !== undefined) return "btrfs-progs is not installed";
  const version = /v(\d+\.\d+)/.exec(stdout)?.[1];
  return version === "6.2" ? undefined : `btrfs-progs is ${version}, the comparison is with 6.2`;
}

export interface Dumped {
  readonly text: string;
  readonly errors: readonly string[];
  readonly status: number | null;
}

/** What the peer says. It never ends with `-E 0` on a stream that is cut short: then `status` is null. */
export function peerDump(input: Uint8Array, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Dumped {
  const { stdout, stderr, status } = spawnSync("btrfs", ["receive", "--dump", ...args], {
    input,
    env: { ...process.env, ...env },
    maxBuffer: 1 << 22,
    timeout: 20_000,
  });
  return { text: stdout.toString("latin1"), errors: errorsIn(stderr.toString("latin1")), status };
}

export function errorsIn(stderr: string): string[] {
  return stderr === "" ? [] : stderr.replace(/\n$/, "").split(/\n(?=ERROR: )/);
}
