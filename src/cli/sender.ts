import type { Relative } from "../send/parent.ts";
import type { SendOptions, SendSummary } from "../send/send.ts";
import type { SendSource } from "../send/source.ts";
import type { ByteSink } from "../stream/output.ts";

/** Who makes the stream of what is mounted. */
export const ENGINES = ["kernel", "btrkit"] as const;
export type Engine = (typeof ENGINES)[number];

/** Where the operands of a send lie, and who sends them. `await using` closes what they needed. */
export interface Sender extends AsyncDisposable {
  readonly isLive: boolean;
  /**
   * Id of the subvolume that an operand names.
   *
   * @param what For the message, when it may not be sent.
   * @param mayBeWritable Does without its being read-only.
   * @throws {BtrfsError} when it is none, or writable.
   */
  find(word: string, what: string, mayBeWritable?: boolean): Promise<bigint>;
  /** Every subvolume, to choose a parent. */
  all(): Promise<readonly Relative[]>;
  /** To be called when all operands have been found. */
  source(): Promise<SendSource>;
  send(source: SendSource, options: SendOptions, sink: ByteSink): Promise<Pick<SendSummary, "bytes" | "leftOut">>;
}
