import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { parseUuid } from "../../bytes/uuid.ts";
import { CHECKSUM_TYPES, type ChecksumName } from "../../checksum/checksum.ts";
import type { ByteSource, ByteStore } from "../../device/source.ts";
import { BtrfsError } from "../../errors.ts";
import { ContentThreads } from "../../linux/compress-threads.ts";
import { closeSourceHost, openSourceHost, treeSourceOf } from "../../linux/source-host.ts";
import type { Compress, ContentHow, NewSubvolumeFrom } from "../../mkfs/index.ts";
import { type MadeFilesystem, type MakeOptions, makeFilesystem } from "../../mkfs/mkfs.ts";
import { NewImage } from "../../node/new-image.ts";
import { readSuperblockCopies } from "../../volume/superblock.ts";
import { type Context, command } from "../command.ts";
import { parseBytes } from "../numbers.ts";
import { UsageError } from "../options.ts";
import { openStore } from "../places.ts";

const PROFILES = ["single", "dup"] as const;
const CHECKSUMS = CHECKSUM_TYPES.map(({ name }) => name);

export const mkfs = command({
  brief: "Make a filesystem in an image or on a device, empty or of the files of a directory",
  usage: ["[options] IMAGE", "[options] --rootdir DIR IMAGE"],
  details: `
Takes what mkfs.btrfs takes for one device. An empty filesystem gets as long as the image is, which has to be there:
truncate -s makes one. What is mounted is refused, and so is what holds a btrfs already, unless --force is given.

With --rootdir, the filesystem has what DIR has: names, contents, holes, owners, modes, times, links, devices, extended
attributes, ACLs and capabilities. No kernel is needed for it; root is, as far as DIR has files of others. An image that is
not there is made, as long as need be; without --byte-count, one that is too short gets longer.`,
  options: {
    rootdir: { short: "r", long: "rootdir", value: "DIR", brief: "fill it with the files of this directory" },
    compress: {
      long: "compress",
      value: "ALGORITHM[:LEVEL]",
      brief: "compress files with zlib, lzo or zstd, where that makes them smaller",
    },
    subvol: {
      long: "subvol",
      value: "[TYPE:]PATH",
      many: true,
      brief: "make a subvolume of this directory in DIR; TYPE is rw, ro, default or default-ro",
    },
    reflink: { long: "reflink", brief: "let files of the same content share it" },
    shrink: { long: "shrink", brief: "leave no free space behind the files" },
    reproducible: {
      long: "reproducible",
      brief: "the same files give the same bytes; no time is later than SOURCE_DATE_EPOCH",
    },
    noXattrs: { long: "no-xattrs", brief: "leave out extended attributes, ACLs and capabilities" },
    label: { short: "L", long: "label", value: "LABEL", brief: "name of the filesystem, at most 255 bytes" },
    uuid: { short: "U", long: "uuid", value: "UUID", brief: "its UUID (default: random)" },
    nodeSize: { short: "n", long: "nodesize", value: "SIZE", brief: "bytes of a tree block: 4K to 64K (default: 16K)" },
    byteCount: { short: "b", long: "byte-count", value: "SIZE", brief: "bytes of the filesystem" },
    checksum: {
      long: "checksum",
      value: "TYPE",
      choices: CHECKSUMS,
      brief: "checksum of data and trees (default: crc32c)",
    },
    metadata: { short: "m", long: "metadata", value: "PROFILE", choices: PROFILES, brief: "of trees (default: dup)" },
    data: { short: "d", long: "data", value: "PROFILE", choices: PROFILES, brief: "of files (default: single)" },
    features: {
      short: "O",
      long: "features",
      value: "LIST",
      brief: "no-holes, free-space-tree (on), block-group-tree (off); ^ in front switches off",
    },
    threads: { long: "threads", value: "N", brief: "threads that read and compress (default: processors)" },
    force: { short: "f", long: "force", brief: "also over a filesystem" },
    quiet: { short: "q", long: "quiet", brief: "print nothing" },
  },
  example: "btrkit mkfs --rootdir tree --compress zstd:3 disk.img",
  operands: [1, 1],
  async run(context, options, [path]) {
    const { out, signal } = context;
    const made: MakeOptions = {
      label: options.label,
      uuid: options.uuid === undefined ? undefined : uuidOf(options.uuid),
      nodeSize: options.nodeSize === undefined ? undefined : parseBytes("--nodesize", options.nodeSize),
      size: options.byteCount === undefined ? undefined : parseBytes("--byte-count", options.byteCount),
      checksum: options.checksum as ChecksumName | undefined,
      metadata: options.metadata as "single" | "dup" | undefined,
      data: options.data as "single" | "dup" | undefined,
      ...featuresOf(options.features),
      ...(options.reproducible ? reproducibleOf(process.env.SOURCE_DATE_EPOCH) : {}),
      signal,
    };
    const say = (text: string) => (options.quiet ? undefined : out.line(text));
    if (options.rootdir === undefined) {
      demandRootdir(options);
      const store = await openStore(context, path!);
      try {
        if (!options.force) await demandFree(store);
        const { size } = await make(store, made);
        await say(`made a filesystem of ${size} bytes in ${path}`);
      } finally {
        await store.close?.();
      }
      return undefined;
    }
    const threads = threadCount(options.threads);
    const host = openSourceHost(options.rootdir, !options.noXattrs);
    let runner: ContentThreads | undefined;
    const makeRunner = (how: ContentHow): ContentThreads => {
      runner = new ContentThreads(threads, host, how);
      return runner;
    };
    try {
      const filled: MakeOptions = {
        ...made,
        from: treeSourceOf(host),
        compress: options.compress === undefined ? undefined : compressOf(options.compress),
        subvolumes: options.subvol.map(subvolumeOf),
        reflink: options.reflink,
        shrink: options.shrink,
        grow: true,
        makeRunner: threads > 1 ? makeRunner : undefined,
        onWarning: (sentence) => context.say(`btrkit: ${sentence}`),
      };
      const { size, inodes } = existsSync(path!)
        ? await fillExisting(context, path!, options.force, filled)
        : await fillNew(path!, filled);
      await say(`made a filesystem of ${size} bytes with ${inodes} inodes in ${path}`);
    } finally {
      await runner?.close();
      closeSourceHost(host);
    }
    return undefined;
  },
});

/** @throws {UsageError} for options that only make sense with files. */
function demandRootdir(options: {
  compress: unknown;
  subvol: readonly string[];
  shrink: boolean;
  reflink: boolean;
}): void {
  if (options.compress !== undefined) throw new UsageError("option '--compress' needs '--rootdir'");
  if (options.subvol.length > 0) throw new UsageError("option '--subvol' needs '--rootdir'");
  if (options.reflink) throw new UsageError("option '--reflink' needs '--rootdir'");
  if (options.shrink) throw new UsageError("option '--shrink' needs '--rootdir'");
}

async function fillNew(path: string, options: MakeOptions): Promise<MadeFilesystem> {
  await using image = await NewImage.create(path);
  const made = await fill(image.store, options);
  await image.finish();
  return made;
}

async function fillExisting(
  context: Context,
  path: string,
  force: boolean,
  options: MakeOptions,
): Promise<MadeFilesystem> {
  const store = await openStore(context, path);
  try {
    if (!force) await demandFree(store);
    const isFile = (await stat(path)).isFile();
    // A device is as long as it is.
    return await fill(store, isFile ? options : { ...options, grow: false });
  } finally {
    await store.close?.();
  }
}

async function fill(store: ByteStore, options: MakeOptions): Promise<MadeFilesystem> {
  const { size = 0, grow = false } = options;
  if (grow && size > store.size) await store.resize(size);
  const made = await make(store, options);
  if (grow && options.shrink && store.size > made.size) await store.resize(made.size);
  return made;
}

async function make(store: ByteStore, options: MakeOptions): Promise<MadeFilesystem> {
  try {
    return await makeFilesystem(store, options);
  } catch (error) {
    throw error instanceof RangeError || error instanceof TypeError ? new UsageError(error.message) : error;
  }
}

const SUBVOLUME_TYPES: Readonly<Record<string, Omit<NewSubvolumeFrom, "path">>> = {
  rw: {},
  ro: { readOnly: true },
  default: { isDefault: true },
  "default-ro": { isDefault: true, readOnly: true },
};

function subvolumeOf(text: string): NewSubvolumeFrom {
  const colon = text.indexOf(":");
  const type = colon < 0 ? undefined : SUBVOLUME_TYPES[text.slice(0, colon)];
  return type === undefined ? { path: text } : { ...type, path: text.slice(colon + 1) };
}

const ALGORITHMS = ["zlib", "lzo", "zstd"] as const;
const MOST_LEVEL = { zlib: 9, lzo: 0, zstd: 15 } as const;

function compressOf(text: string): Compress | undefined {
  if (text === "no" || text === "none") return undefined;
  const [name, level, ...more] = text.split(":");
  const algorithm = ALGORITHMS.find((known) => known === name);
  if (algorithm === undefined || more.length > 0) {
    throw new UsageError(
      `option '--compress' can't be '${text}', expected zlib, lzo or zstd, and a level behind a colon`,
    );
  }
  if (level === undefined) return { algorithm };
  const number = /^\d+$/.test(level) ? Number(level) : 0;
  const most = MOST_LEVEL[algorithm];
  if (number < 1 || number > most) {
    const has = most === 0 ? "no levels" : `levels 1 to ${most}`;
    throw new UsageError(`option '--compress' can't be '${text}': ${algorithm} has ${has}`);
  }
  return { algorithm, level: number };
}

/** More of them than this take more memory than time they save. */
const MOST_THREADS = 6;

function threadCount(given: string | undefined): number {
  if (given === undefined) return Math.min(availableParallelism(), MOST_THREADS);
  const count = Number(given);
  if (/^\d+$/.test(given) && count >= 1 && count <= 64) return count;
  throw new UsageError(`option '--threads' can't be '${given}', expected a number from 1 to 64`);
}

function reproducibleOf(epoch: string | undefined): Pick<MakeOptions, "reproducible" | "now"> {
  if (epoch === undefined || epoch === "") return { reproducible: {}, now: 0n };
  if (!/^\d{1,12}$/.test(epoch))
    throw new UsageError(`SOURCE_DATE_EPOCH can't be '${epoch}', expected seconds since 1970`);
  return { reproducible: { latest: Number(epoch) }, now: BigInt(epoch) * 1_000_000_000n };
}

async function demandFree(store: ByteSource): Promise<void> {
  const copies = await readSuperblockCopies(store);
  if (copies.every(({ problem }) => problem !== undefined)) return;
  throw new BtrfsError(
    "exists",
    "Cannot make filesystem: there is a btrfs already; --force makes another in its place",
    {
      where: { file: store.name },
    },
  );
}

function uuidOf(text: string): Uint8Array {
  try {
    return parseUuid(text);
  } catch {
    throw new UsageError(`option '--uuid' can't be '${text}', expected a UUID`);
  }
}

function featuresOf(list = ""): MakeOptions {
  const names = {
    "no-holes": "noHoles",
    "free-space-tree": "freeSpaceTree",
    "block-group-tree": "blockGroupTree",
  } as const;
  const made: { noHoles?: boolean; freeSpaceTree?: boolean; blockGroupTree?: boolean } = {};
  for (const word of list.split(",").filter((text) => text !== "")) {
    const isOff = word.startsWith("^");
    const name = isOff ? word.slice(1) : word;
    if (!(name in names)) throw new UsageError(`option '--features' can't have '${name}'`);
    made[names[name as keyof typeof names]] = !isOff;
  }
  return made;
}
