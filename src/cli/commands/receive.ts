import { statSync } from "node:fs";
import { CHECKSUM_TYPES, type ChecksumName } from "../../checksum/checksum.ts";
import { BtrfsError } from "../../errors.ts";
import { FileSource } from "../../node/file-source.ts";
import { type Context, command } from "../command.ts";
import { PROGRESS_OPTION, WRITABLE_IMAGE_OPTIONS } from "../common-options.ts";
import { parseCompression } from "../compression.ts";
import { parseBytes, parseCount } from "../numbers.ts";
import { type Option, type Options, type Parsed, UsageError } from "../options.ts";
import { sayBytes } from "../output.ts";
import { progressMode } from "../progress.ts";
import type { ImageDestination } from "../receive-image.ts";
import type { ReceiveFlags } from "../receive-live.ts";

const CHECKSUMS = CHECKSUM_TYPES.map(({ name }) => name);

const OPTIONS = {
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
  threads: {
    long: "threads",
    value: "N",
    brief: "threads that write or, into an image, compress; 1: all on one (default: by processors)",
  },
  create: { long: "create", brief: "make the image, if it is not there; no part of it is seen before all is received" },
  grow: { long: "grow", brief: "into an image: make its file longer when it is full" },
  size: { long: "size", value: "SIZE", brief: "with --create: bytes of the image (default: as needed)" },
  label: { long: "label", value: "LABEL", brief: "with --create: name of the filesystem" },
  nodeSize: { long: "nodesize", value: "SIZE", brief: "with --create: bytes of a tree block (default: 16K)" },
  checksum: { long: "checksum", value: "TYPE", choices: CHECKSUMS, brief: "with --create: (default: crc32c)" },
  compress: {
    long: "compress",
    value: "ALGO[:LEVEL]",
    brief: "into an image: compress plain writes with zlib, lzo or zstd",
  },
  ...WRITABLE_IMAGE_OPTIONS,
  cleanup: { long: "cleanup", brief: "delete the subvolumes in DEST that an interrupted receive has left" },
  ...PROGRESS_OPTION,
  verbose: { short: "v", long: "verbose", many: true, brief: "say more" },
  quiet: { short: "q", long: "quiet", brief: "print errors only" },
  dump: { long: "dump", brief: "print the commands, receive nothing" },
  allSegments: { long: "all-segments", brief: "with --dump: go on after END with the next stream of the file" },
  format: { long: "format", value: "FORMAT", choices: ["text", "jsonl"], brief: "of --dump (default: text)" },
  data: { long: "data", brief: "with --format jsonl: the bytes of data too, in base64" },
} as const satisfies Options;

export const receive = command({
  brief: "Receive a send stream, as btrfs receive does",
  usage: ["[options] DEST", "--create [options] IMAGE", "--cleanup DEST", "--dump [options]"],
  details: `
Subvolumes of the stream appear in DEST, a directory of a mounted btrfs; this needs root. Compressed extents are stored
as they come. Nothing outside of DEST is touched, whatever the stream says. What is interrupted stays writable and marked
with the xattr user.btrkit.receiving, until --cleanup deletes it.

On any other filesystem, or with --target directory, each subvolume becomes a plain directory, also without root; DEST
gets a directory .btrkit, which remembers their uuids, what is unfinished, and what could not be held. Increments change
a copy of their parent.

DEST can be IMAGE:PATH, a directory in an unmounted image or device: without a kernel, and without root where the file is
yours. --create makes the image, as long as it has to be.

--dump prints one line for each command instead, byte for byte as btrfs receive --dump of btrfs-progs 6.2 prints it, or
with --format jsonl one JSON object.`,
  options: OPTIONS,
  example: "btrkit receive -f home.btrfs /mnt/backup",
  dropIn: true,
  async run(context, options, operands) {
    const wanted = options.dump ? 0 : 1;
    if (operands.length !== wanted) {
      const hint = options.dump && options.file === undefined ? ": -f names the stream that --dump prints" : "";
      const count = `exactly ${wanted} argument${wanted === 1 ? "" : "s"} expected, ${operands.length} given`;
      throw new UsageError(`${count}${hint}`);
    }
    const maxErrors = options.maxErrors === undefined ? 1 : parseCount(options.maxErrors);
    const [word] = operands;
    if (word !== undefined) {
      const destination = isDirectory(word) ? undefined : (await loadImage()).imageDestination(word, options.create);
      if (destination !== undefined) return await intoImage(context, destination, options, maxErrors);
      return await intoDirectory(context, word, options, maxErrors);
    }
    using source = await FileSource.open(options.file || "-", context.signal);
    if (options.format === "jsonl") return await dumpJson(context, source, options);
    return await dumpText(context, source, { maxErrors, allSegments: options.allSegments });
  },
});

type Wishes = Parsed<typeof OPTIONS>;

/** Into a mounted btrfs, or a plain directory. */
async function intoDirectory(context: Context, word: string, options: Wishes, maxErrors: number): Promise<number> {
  refuse(options, FOR_IMAGES, (words) => `${words} can be given for an image only, as IMAGE:PATH`);
  const live = await loadLive();
  const onBtrfs = live.isOnBtrfs(word);
  const plain = options.target === "directory" || (options.target === undefined && !onBtrfs);
  if (!plain && !onBtrfs) throw new BtrfsError("kind", `${word} doesn't belong to btrfs mount point`);
  const { rootMount, fileattr, forceDecompress, fsync, syncfs } = options;
  const { strict, inPlace, preserveSetid } = options;
  if (!plain && (strict || inPlace || preserveSetid)) {
    throw new UsageError("options '--strict', '--in-place' and '--preserve-setid' need '--target directory'");
  }
  if (options.cleanup) {
    return await (plain ? (await loadDirectory()).cleanUpDirectory : live.cleanUpLive)(context, word);
  }
  const flags = flagsOf(options, maxErrors);
  using source = await openStream(options.file || "-", context.signal);
  const threads = threadsOf(options) === undefined ? undefined : threadsOf(options)! < 2 ? 1 : 2;
  const wishes = { rootMount, fileattr, forceDecompress, fsync, syncfs, threads } as const;
  if (plain) {
    const { receiveDirectory } = await loadDirectory();
    return await receiveDirectory(context, source, word, flags, { strict, inPlace, preserveSetid });
  }
  return await live.receiveLive(context, source, word, flags, wishes);
}

async function intoImage(
  context: Context,
  destination: ImageDestination,
  options: Wishes,
  maxErrors: number,
): Promise<number> {
  refuse(options, NOT_FOR_IMAGES, (words) => `${words} can't be given for an image`);
  const isNew = !destination.isThere && !options.cleanup;
  if (!isNew) refuse(options, FOR_NEW_IMAGES, (words) => `${words} can be given for a new image only`);
  const { device, partition, offset, grow, size } = options;
  if (isNew && (device.length > 0 || partition !== undefined || offset !== undefined)) {
    throw new UsageError("options '--device', '--partition' and '--offset' can't be given for a new image");
  }
  const image = await loadImage();
  if (options.cleanup) return await image.cleanUpImage(context, destination, { device, partition, offset });
  const target = {
    threads: threadsOf(options),
    forceDecompress: options.forceDecompress,
    compress: options.compress === undefined ? undefined : parseCompression("--compress", options.compress),
  };
  const made = {
    label: options.label,
    nodeSize: options.nodeSize === undefined ? undefined : parseBytes("--nodesize", options.nodeSize),
    checksum: options.checksum as ChecksumName | undefined,
    size: size === undefined ? undefined : parseBytes("--size", size),
  };
  const flags = flagsOf(options, maxErrors);
  using source = await openStream(options.file || "-", context.signal);
  if (isNew) return await image.receiveNewImage(context, source, destination, flags, target, made);
  return await image.receiveImage(context, source, destination, flags, target, { device, partition, offset, grow });
}

const FOR_NEW_IMAGES = ["size", "label", "nodeSize", "checksum"] as const;
const FOR_IMAGES = ["create", "grow", ...FOR_NEW_IMAGES, "compress", "device", "partition", "offset"] as const;
const NOT_FOR_IMAGES = ["target", "rootMount", "fileattr", "strict", "inPlace", "preserveSetid"] as const;

/** @throws {UsageError} where one of these options was given. */
function refuse(options: Wishes, names: readonly (keyof Wishes)[], sentence: (words: string) => string): void {
  const given = names.filter((name) => {
    const value = options[name];
    return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
  });
  if (given.length === 0) return;
  const words = given.map((name) => `'${wordOf(OPTIONS[name])}'`).join(", ");
  throw new UsageError(sentence(`option${given.length === 1 ? "" : "s"} ${words}`));
}

function wordOf({ short, long }: Option): string {
  return long === undefined ? `-${short}` : `--${long}`;
}

function flagsOf({ quiet, verbose, onlyOne, progress }: Wishes, maxErrors: number): ReceiveFlags {
  const mode = progressMode(progress ?? (quiet ? "" : undefined));
  return { quiet, verbose, onlyFirstSegment: onlyOne, maxErrors, progress: mode };
}

function threadsOf({ threads }: Wishes): number | undefined {
  return threads === undefined ? undefined : parseCount(threads);
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Here, because the compiler leaves the path as it is in functions with `using`. */
const loadLive = () => import("../receive-live.ts");
const loadDirectory = () => import("../receive-directory.ts");
const loadImage = () => import("../receive-image.ts");

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
