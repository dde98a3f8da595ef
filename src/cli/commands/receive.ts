import { BtrfsError } from "../../errors.ts";
import { FileSource } from "../../node/file-source.ts";
import { type Context, command } from "../command.ts";
import { PROGRESS_OPTION } from "../common-options.ts";
import { parseCount } from "../numbers.ts";
import { UsageError } from "../options.ts";
import { sayBytes } from "../output.ts";
import { progressMode } from "../progress.ts";

export const receive = command({
  brief: "Receive a send stream, as btrfs receive does",
  usage: ["[options] DEST", "--cleanup DEST", "--dump [options]"],
  details: `
Subvolumes of the stream appear in DEST, a directory of a mounted btrfs; this needs root. Compressed extents are stored
as they come. Nothing outside of DEST is touched, whatever the stream says. What is interrupted stays writable and marked
with the xattr user.btrkit.receiving, until --cleanup deletes it.

On any other filesystem, or with --target directory, each subvolume becomes a plain directory, also without root; DEST
gets a directory .btrkit, which remembers their uuids, what is unfinished, and what could not be held. Increments change
a copy of their parent.

--dump prints one line for each command instead, byte for byte as btrfs receive --dump of btrfs-progs 6.2 prints it, or
with --format jsonl one JSON object.`,
  options: {
    file: { short: "f", value: "FILE", brief: "read the stream from FILE, - is standard input (default)" },
    onlyOne: { short: "e", brief: "stop after the first END; else go on to the end of the input" },
    chroot: { short: "C", long: "chroot", brief: "accepted as by btrfs receive: btrkit never leaves DEST" },
    rootMount: { short: "m", value: "ROOTMOUNT", brief: "where the filesystem is mounted, if /proc does not say" },
    maxErrors: { short: "E", long: "max-errors", value: "N", brief: "stop at N errors, 0 for never (default: 1)" },
    forceDecompress: { long: "force-decompress", brief: "decode compressed extents and write them" },
    target: {
      long: "target",
      value: "KIND",
      choices: ["live", "directory"],
      brief: "how to receive (default: live where DEST is on btrfs)",
    },
    strict: { long: "strict", brief: "into a plain directory: what it can't hold is an error" },
    inPlace: { long: "in-place", brief: "into a plain directory: change the parent itself, not a copy" },
    preserveSetid: { long: "preserve-setid", brief: "into a plain directory: set setuid bits also without root" },
    fileattr: { long: "fileattr", brief: "apply inode flags, which btrfs receive leaves out" },
    fsync: { long: "fsync", brief: "flush each file before it is closed" },
    syncfs: { long: "syncfs", brief: "flush the filesystem before a subvolume counts as received" },
    threads: { long: "threads", value: "N", brief: "1: do all on one thread (default: 2, where there are processors)" },
    cleanup: { long: "cleanup", brief: "delete the subvolumes in DEST that an interrupted receive has left" },
    ...PROGRESS_OPTION,
    verbose: { short: "v", long: "verbose", many: true, brief: "say more" },
    quiet: { short: "q", long: "quiet", brief: "print errors only" },
    dump: { long: "dump", brief: "print the commands, receive nothing" },
    allSegments: { long: "all-segments", brief: "with --dump: go on after END with the next stream of the file" },
    format: { long: "format", value: "FORMAT", choices: ["text", "jsonl"], brief: "of --dump (default: text)" },
    data: { long: "data", brief: "with --format jsonl: the bytes of data too, in base64" },
  },
  example: "btrkit receive -f home.btrfs /mnt/backup",
  dropIn: true,
  async run(context, options, operands) {
    const wanted = options.dump ? 0 : 1;
    if (operands.length !== wanted) {
      throw new UsageError(`exactly ${wanted} argument${wanted === 1 ? "" : "s"} expected, ${operands.length} given`);
    }
    const maxErrors = options.maxErrors === undefined ? 1 : parseCount(options.maxErrors);
    if (operands[0] !== undefined) {
      const live = await loadLive();
      const onBtrfs = live.isOnBtrfs(operands[0]);
      const plain = options.target === "directory" || (options.target === undefined && !onBtrfs);
      if (!plain && !onBtrfs) throw new BtrfsError("kind", `${operands[0]} doesn't belong to btrfs mount point`);
      const { verbose, quiet, onlyOne, rootMount, fileattr, forceDecompress, fsync, syncfs } = options;
      const { strict, inPlace, preserveSetid } = options;
      if (!plain && (strict || inPlace || preserveSetid)) {
        throw new UsageError("options '--strict', '--in-place' and '--preserve-setid' need '--target directory'");
      }
      if (options.cleanup) {
        if (!plain) return await live.cleanUpLive(context, operands[0]);
        const { cleanUpDirectory } = await loadDirectory();
        return await cleanUpDirectory(context, operands[0]);
      }
      const mode = progressMode(options.progress ?? (quiet ? "" : undefined));
      using source = await openStream(options.file || "-", context.signal);
      const threads = options.threads === undefined ? undefined : parseCount(options.threads) < 2 ? 1 : 2;
      const wishes = { rootMount, fileattr, forceDecompress, fsync, syncfs, threads } as const;
      const flags = { quiet, verbose, onlyFirstSegment: onlyOne, maxErrors, progress: mode };
      if (plain) {
        const plainWishes = { strict, inPlace, preserveSetid };
        const { receiveDirectory } = await loadDirectory();
        return await receiveDirectory(context, source, operands[0], flags, plainWishes);
      }
      return await live.receiveLive(context, source, operands[0], flags, wishes);
    }
    using source = await FileSource.open(options.file || "-", context.signal);
    if (options.format === "jsonl") return await dumpJson(context, source, options);
    return await dumpText(context, source, { maxErrors, allSegments: options.allSegments });
  },
});

/** Here, because the compiler leaves the path as it is in functions with `using`. */
const loadLive = () => import("../receive-live.ts");
const loadDirectory = () => import("../receive-directory.ts");

/** With the peer's sentence, where it is not there. */
async function openStream(path: string, signal: AbortSignal): Promise<FileSource> {
  try {
    return await FileSource.open(path, signal);
  } catch (error) {
    if (!(error instanceof BtrfsError) || error.code !== "missing") throw error;
    throw new BtrfsError("missing", `cannot open ${path}: No such file or directory`, { cause: error });
  }
}

async function dumpText(
  { out, signal, say }: Context,
  source: FileSource,
  options: { readonly maxErrors: number; readonly allSegments: boolean },
): Promise<number> {
  // Reading begins while the rest of the program is being loaded.
  const input = (await source.readAhead()) ?? source;
  const { dumpStream } = await import("../../receive/dump.ts");
  const { localZone } = await import("../../node/time-zone.ts");
  const reason = await dumpStream(input, (text) => out.write(text), {
    ...options,
    signal,
    zone: localZone(),
    onError: (sentence) => sayBytes("ERROR: ", sentence),
  });
  if (reason === undefined) return 0;
  say(`ERROR: failed to dump the send stream: ${reason}`);
  return 1;
}

/** Strict: the first unsound command is the end, with its place. */
async function dumpJson(
  { out, signal }: Context,
  source: FileSource,
  { allSegments, data }: { readonly allSegments: boolean; readonly data: boolean },
): Promise<undefined> {
  const { readBatches } = await import("../../stream/reader.ts");
  const { commandToJson } = await import("../../receive/json-lines.ts");
  const options = { signal, allowUnknownCommands: true, allowUnknownAttributes: true };
  for await (const batch of readBatches(source, options)) {
    for (let i = 0; i < batch.count; i++) await out.line(JSON.stringify(commandToJson(batch, i, data)));
    if (batch.segment.state === "end" && !allSegments) break;
  }
  return undefined;
}
