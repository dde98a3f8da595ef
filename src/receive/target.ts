import { BtrfsError } from "../errors.ts";
import { ATTRIBUTES } from "../stream/attributes.ts";
import type { CommandBatch } from "../stream/batch.ts";
import type { Command, CommandNamed } from "../stream/commands.ts";
import { decodeCommand } from "../stream/decode.ts";
import { CommandError } from "./command-error.ts";
import type { EncodedTally } from "./encoded-tally.ts";

/** What SUBVOL or SNAPSHOT says of the subvolume that begins. All bytes are its own. */
export interface SubvolumeStart {
  /** A single safe name. */
  readonly name: Uint8Array;
  /** What the sender knows it by: its received uuid, or else its uuid. */
  readonly uuid: Uint8Array;
  /** Generation of its last change at the sender. */
  readonly ctransid: bigint;
  /** SNAPSHOT: what to begin from, found by received uuid first and then by uuid. Its ctransid is not compared. */
  readonly parent?: { readonly uuid: Uint8Array; readonly ctransid: bigint } | undefined;
}

/** What an abandoned subvolume has left behind. */
export interface Unfinished {
  /** Where it stands, for a person. */
  readonly place: string;
}

/** Hears of a command that failed. It throws when that was one too many; else the target goes on with the next one. */
export type Report = (error: unknown) => void;

/**
 * Where the commands of a stream go. `receive` calls it, one call at a time, and sees to the order: `begin`, any number
 * of `apply` and `drain`, then exactly one of `complete` and `abandon` (or both, where `complete` throws); and so on for the next subvolume. After a `begin` that
 * threw, nothing of that subvolume is asked for.
 *
 * Paths are checked: names of 1 to 255 bytes joined by single slashes, none of them `.` or `..`, no NUL, 4095 bytes at
 * most; empty only where a command may be about the subvolume itself (owner, mode, times, attributes). Nothing is known
 * of what lies there: symbolic links are the target's to refuse. Everything else in a command is as hostile as the
 * stream.
 */
export interface ReceiveTarget {
  /** Encoded writes so far, of all subvolumes. */
  readonly encoded: EncodedTally;
  /**
   * A new subvolume, empty or from its parent, plainly unfinished until `complete`.
   *
   * @throws {BtrfsError} `exists` for a name that is taken, `missing` for an unknown parent: see `parentMissing`.
   */
  begin(start: SubvolumeStart, report: Report): void | Promise<void>;
  /**
   * Carries out commands `first` up to `last` (exclusive) of a batch, in effect one after the other. None of them is
   * SUBVOL, SNAPSHOT or END. The batch is lent until this settles, but work may go on: what fails then is reported
   * before `drain` settles. A report that throws ends the call with what it threw.
   */
  apply(batch: CommandBatch, first: number, last: number): void | Promise<void>;
  /** Waits for all that is under way. */
  drain(): Promise<void>;
  /** After `drain`, and only where nothing was reported: the subvolume counts as received. */
  complete(): Promise<void>;
  /** Waits for all that is under way and leaves the subvolume as it is, plainly unfinished. Never throws. */
  abandon(): Promise<Unfinished | undefined>;
}

/** What a target has an answer for, each by its name. A new command is a compile error until it has one. */
export type CommandHandlers = {
  readonly [N in Exclude<Command["name"], "subvol" | "snapshot" | "end" | "unknown">]: (
    command: CommandNamed<N>,
    batch: CommandBatch,
    i: number,
  ) => void | Promise<void>;
};

/** The batch and place say more than the command: `encodedFields` and `placeOf` take them. */
type Handler = (command: Command, batch: CommandBatch, i: number) => void | Promise<void>;

/** Carries out one command: what it gives has to be awaited, where it is something. */
export type RunCommand = (batch: CommandBatch, i: number) => void | Promise<void>;

/** For a target that has one method for each command. */
export function commandRunner(handlers: CommandHandlers): RunCommand {
  const table = handlers as unknown as Readonly<Record<string, Handler>>;
  return (batch, i) => {
    const command = decodeCommand(batch, i);
    return table[command.name]?.(command, batch, i);
  };
}

/** `apply` for a target that has one method for each command: they run one after the other. */
export function oneByOne(
  handlers: CommandHandlers,
): (batch: CommandBatch, first: number, last: number, report: Report) => Promise<void> {
  const run = commandRunner(handlers);
  return async (batch, first, last, report) => {
    for (let i = first; i < last; i++) {
      try {
        // Not awaited where there is nothing to wait for: most commands take less time than that would.
        const done = run(batch, i);
        if (done !== undefined) await done;
      } catch (error) {
        report(CommandError.of(batch, i, error));
      }
    }
  };
}

/** The error for a parent that the target does not have, in words that scripts know. */
export function parentMissing(): BtrfsError {
  return new BtrfsError("missing", "cannot find parent subvolume");
}

/** What SUBVOL or SNAPSHOT `i` of a batch says; the name is not checked. */
export function subvolumeStart(batch: CommandBatch, i: number): SubvolumeStart {
  const own = (field: "path" | "uuid" | "cloneUuid"): Uint8Array => batch.value(i, ATTRIBUTES[field].number)!.slice();
  const start = { name: own("path"), uuid: own("uuid"), ctransid: batch.u64(i, ATTRIBUTES.ctransid.number) };
  if (batch.type(i) !== SNAPSHOT) return start;
  return { ...start, parent: { uuid: own("cloneUuid"), ctransid: batch.u64(i, ATTRIBUTES.cloneCtransid.number) } };
}

const SNAPSHOT = 2;
