import type { Options, Parsed } from "./options.ts";
import type { Output } from "./output.ts";

/** What a running command gets from the frame. */
export interface Context {
  /** Standard output. */
  readonly out: Output;
  /** One line to standard error. */
  readonly say: (line: string) => void;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

/**
 * One command: its words as data, and what it does. The frame parses, prints `--help` and errors, and exits.
 *
 * `run` returns the exit status, 0 when it returns nothing. What a library user could not call has no place here.
 */
export interface Command<O extends Options = Options> {
  /** One line for the list of commands. */
  readonly brief: string;
  /** What may follow the name, one line for each form. */
  readonly usage: readonly string[];
  /** Paragraphs between the usage and the options. */
  readonly details?: string;
  readonly options: O;
  /** Works as typed. */
  readonly example: string;
  /** How many operands there may be, at least and at most; left out when `run` looks itself. */
  readonly operands?: readonly [least: number, most: number];
  /** Takes the place of a `btrfs` command: errors begin `ERROR: `, exit status is 0 or 1. */
  readonly dropIn?: true;
  run(context: Context, options: Parsed<O>, operands: readonly string[]): Promise<number | undefined>;
}

/** Ties the type of `run` to the options. */
export function command<const O extends Options>(declaration: Command<O>): Command<O> {
  return declaration;
}
