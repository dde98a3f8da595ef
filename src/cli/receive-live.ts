import { closeSync, constants, existsSync, openSync, realpathSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { displayName } from "../bytes/display.ts";
import { formatUuid } from "../bytes/uuid.ts";
import { BtrfsError } from "../errors.ts";
import { BTRFS_SUPER_MAGIC, loadNative } from "../linux/index.ts";
import { LiveTarget, type LiveTargetOptions } from "../linux/receive/live-target.ts";
import { deleteUnfinished, listUnfinished } from "../linux/receive/mark.ts";
import type { FileSource } from "../node/file-source.ts";
import { hostError, isBrokenPipe } from "../node/host-error.ts";
import { narration } from "../receive/narration.ts";
import { type ReceiveEvent, type ReceiveSummary, receive } from "../receive/receive.ts";
import type { Command } from "../stream/commands.ts";
import type { Context } from "./command.ts";
import { errorLines } from "./exit.ts";
import { Progress, type ProgressMode } from "./progress.ts";
import { receiveFailure } from "./receive-words.ts";

export interface ReceiveFlags {
  readonly quiet: boolean;
  /** How often `-v` was given. */
  readonly verbose: number;
  readonly onlyFirstSegment: boolean;
  readonly maxErrors: number;
  readonly progress: ProgressMode;
}

/** Whether a destination lies on a mounted btrfs. @throws {BtrfsError} `missing` when there is no such directory. */
export function isOnBtrfs(destination: string): boolean {
  try {
    realpathSync(destination);
  } catch (cause) {
    const hint = existsSync(dirname(destination.split(":")[0]!)) ? "; --create makes an image of this name" : "";
    throw new BtrfsError("missing", `realpath(${destination}) failed: No such file or directory${hint}`, { cause });
  }
  try {
    return statfsSync(destination, { bigint: true }).type === BTRFS_SUPER_MAGIC;
  } catch (error) {
    throw hostError(error, "look at", destination);
  }
}

/** Receives into a directory of a mounted btrfs. @returns The exit status. */
export async function receiveLive(
  context: Context,
  source: FileSource,
  destination: string,
  flags: ReceiveFlags,
  options: LiveTargetOptions,
): Promise<number> {
  needRoot("receive into a mounted btrfs");
  // Read and checked by another thread, while the rest begins.
  const input = options.threads === 1 ? source : ((await source.readAhead()) ?? source);
  // Told of one after the other, commands are carried out so.
  using target = LiveTarget.open(destination, flags.verbose > 1 ? { ...options, threads: 1 } : options);
  const status = await receiveInto(context, source, flags, (wishes) => receive(input, target, wishes));
  if (target.withoutData > 0) {
    context.say(`WARNING: the stream has no data: ${target.withoutData} extents are holes, or as they were`);
  }
  if (target.withoutFlags > 0) context.say(`WARNING: inode flags of ${target.withoutFlags} files could not all be set`);
  return status;
}

/** Runs a receive, says what happens as `btrfs receive` does, and gives the exit status. */
export async function receiveInto(
  context: Context,
  source: FileSource,
  flags: ReceiveFlags,
  run: (options: NonNullable<Parameters<typeof receive>[2]>) => Promise<ReceiveSummary>,
  words: ReceiveWords = LIVE,
): Promise<number> {
  const progress = new Progress(flags.quiet ? "off" : flags.progress, source.size);
  try {
    const summary = await run({
      signal: context.signal,
      onlyFirstSegment: flags.onlyFirstSegment,
      maxErrors: flags.maxErrors,
      onProgress: ({ bytes }) => progress.update(bytes),
      onEvent: (event) => tell(context, event, flags, words),
      onCommand: flags.verbose > 1 ? (command) => tellCommand(context, command) : undefined,
    });
    progress.end();
    if (flags.verbose > 0) tellSummary(context, summary);
    return 0;
  } catch (error) {
    progress.end();
    if (context.signal.aborted || isBrokenPipe(error)) throw error;
    if (!(error instanceof BtrfsError)) throw error;
    // Failures that were let pass have been told as they came.
    if (!(error.cause instanceof BtrfsError && /^Cannot receive all/.test(error.sentence))) {
      context.say(`ERROR: ${receiveFailure(error)}`);
    }
    if (flags.verbose > 0) for (const line of errorLines(error, "receive", true, false)) context.say(line);
    return 1;
  }
}

/** What differs from target to target. */
export interface ReceiveWords {
  readonly unfinished: (place: string) => readonly string[];
  /** With `-v`, when a subvolume is complete. */
  readonly received: ((uuid: string, ctransid: bigint) => string) | undefined;
}

const LIVE: ReceiveWords = {
  unfinished: (place) => [
    `WARNING: ${place} is unfinished: writable, without received uuid, marked with user.btrkit.receiving`,
    "WARNING: btrkit receive --cleanup DEST deletes what bears that mark",
  ],
  received: (uuid, ctransid) => `BTRFS_IOC_SET_RECEIVED_SUBVOL uuid=${uuid}, stransid=${ctransid}`,
};

function tell(
  { out, say }: Context,
  event: ReceiveEvent,
  { quiet, verbose }: ReceiveFlags,
  { unfinished, received }: ReceiveWords,
): void {
  if (event.kind === "error") {
    say(`ERROR: ${receiveFailure(event.error)}`);
    return;
  }
  if (event.kind === "unfinished") {
    for (const line of unfinished(event.place)) say(line);
    return;
  }
  if (quiet) return;
  const { name, uuid, ctransid, parent } = event.start;
  const shown = displayName(name);
  if (event.kind === "received") {
    if (verbose > 0 && received !== undefined) say(received(formatUuid(uuid), ctransid));
  } else if (parent === undefined) {
    say(`At subvol ${shown}`);
    if (verbose > 0) say(`receiving subvol ${shown} uuid=${formatUuid(uuid)}, stransid=${ctransid}`);
  } else {
    // Where the peer prints it.
    out.line(`At snapshot ${shown}`);
    out.flush();
    if (verbose > 0) {
      const from = `parent_uuid=${formatUuid(parent.uuid)}, parent_ctransid=${parent.ctransid}`;
      say(`receiving snapshot ${shown} uuid=${formatUuid(uuid)}, ctransid=${ctransid} ${from}`);
    }
  }
}

function tellCommand({ say }: Context, command: Command): void {
  const words = narration(command);
  if (words !== undefined) say(words);
}

function tellSummary({ say }: Context, { encoded, commands, bytes }: ReceiveSummary): void {
  say(`${commands} commands, ${bytes} bytes`);
  if (encoded.carried > 0) say(`${encoded.carried} extents stored as they came`);
  for (const [reason, count] of encoded.decoded) say(`${count} extents decoded: ${reason}`);
}

/** Deletes the subvolumes of unfinished receives in a directory. @returns The exit status. */
export async function cleanUpLive({ out, say }: Context, destination: string): Promise<number> {
  needRoot("delete unfinished subvolumes");
  const native = loadNative();
  const fd = openSync(destination, constants.O_RDONLY | constants.O_DIRECTORY);
  let status = 0;
  try {
    for (const { name, uuid } of listUnfinished(native, fd)) {
      const shown = displayName(name);
      try {
        deleteUnfinished(native, fd, name);
        await out.line(
          `deleted ${destination}/${shown}, an unfinished receive${uuid === undefined ? "" : ` of ${uuid}`}`,
        );
      } catch (error) {
        if (!(error instanceof BtrfsError)) throw error;
        say(`ERROR: ${error.message}`);
        status = 1;
      }
    }
  } finally {
    closeSync(fd);
  }
  return status;
}

function needRoot(act: string): void {
  if (process.geteuid?.() === 0) return;
  throw new BtrfsError("permission", `Cannot ${act}: this needs root; --target directory receives without it`);
}
