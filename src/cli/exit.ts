import { BtrfsError } from "../errors.ts";
import { isBrokenPipe } from "../node/host-error.ts";
import { UsageError } from "./options.ts";

export const EXIT = { done: 0, failed: 1, usage: 2, unsupported: 3, damaged: 4, brokenPipe: 141 } as const;

/** Exit status for an error that ended a command. A broken pipe is none: the reader has what it wanted. */
export function exitStatus(error: unknown, dropIn: boolean): number {
  if (isBrokenPipe(error)) return EXIT.brokenPipe;
  if (dropIn) return EXIT.failed;
  if (error instanceof UsageError) return EXIT.usage;
  if (!(error instanceof BtrfsError)) return EXIT.failed;
  if (error.code === "unsupported") return EXIT.unsupported;
  return ["corrupt", "truncated", "checksum"].includes(error.code) ? EXIT.damaged : EXIT.failed;
}

/** The lines that a person reads. `debug` adds the stack and the causes. */
export function errorLines(error: unknown, name: string, dropIn: boolean, debug: boolean): string[] {
  if (error instanceof UsageError) {
    const program = name === "" ? "btrkit" : `btrkit ${name}`;
    return [`${program}: ${error.message}`, `Try '${program} --help' for more information`];
  }
  const message = error instanceof Error ? error.message : String(error);
  const known = error instanceof BtrfsError;
  const sentence = message.slice(0, 1).toLowerCase() + message.slice(1);
  const line = `${dropIn ? "ERROR: " : "btrkit: "}${known ? sentence : `unexpected failure, please report it: ${message}`}`;
  return debug ? [line, ...stacks(error)] : [line];
}

function stacks(error: unknown): string[] {
  const lines: string[] = [];
  for (let at = error, depth = 0; at instanceof Error && depth < 10; at = at.cause, depth++) {
    lines.push(depth === 0 ? (at.stack ?? at.message) : `caused by ${at.stack ?? at.message}`);
  }
  return lines;
}
