import { execFileSync, spawn } from "node:child_process";

export interface RunOptions {
  readonly input?: Uint8Array | string;
  readonly directory?: string;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Ran {
  /** Exit code; 128 where a signal ended it. */
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/** Runs a command to its end, and says how it ended. Only a command that can't be started is an error. */
export function tryRun(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.directory,
      env: { ...process.env, LC_ALL: "C", ...options.env },
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.on("error", reject);
    child.on("close", (code) =>
      resolve({ code: code ?? 128, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) }),
    );
    // A command may leave without reading all: its exit code says whether that is bad.
    child.stdin.on("error", () => {});
    child.stdin.end(options.input);
  });
}

/** Runs a command that must succeed. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const ran = await tryRun(command, args, options);
  if (ran.code !== 0) {
    throw new Error(
      `${[command, ...args].join(" ")}: exit code ${ran.code}\n${ran.stderr}${ran.stdout.subarray(-2000)}`,
    );
  }
  return ran;
}

/** What a command that must succeed prints, waited for. */
export function outputOf(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 28 });
}
