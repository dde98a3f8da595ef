import { parseUuid } from "../../bytes/uuid.ts";
import { CHECKSUM_TYPES, type ChecksumName } from "../../checksum/checksum.ts";
import type { ByteSource } from "../../device/source.ts";
import { BtrfsError } from "../../errors.ts";
import { type MakeOptions, makeFilesystem } from "../../mkfs/mkfs.ts";
import { readSuperblockCopies } from "../../volume/superblock.ts";
import { command } from "../command.ts";
import { parseBytes } from "../numbers.ts";
import { UsageError } from "../options.ts";
import { openStore } from "../places.ts";

const PROFILES = ["single", "dup"] as const;
const CHECKSUMS = CHECKSUM_TYPES.map(({ name }) => name);

export const mkfs = command({
  brief: "Make an empty filesystem in an image or on a device",
  usage: ["[options] IMAGE"],
  details: `
Takes what mkfs.btrfs takes for one device. The image has to be there, as long as the filesystem shall be: truncate -s
makes one. What is mounted is refused, and so is what holds a btrfs already, unless --force is given.`,
  options: {
    label: { short: "L", long: "label", value: "LABEL", brief: "name of the filesystem, at most 255 bytes" },
    uuid: { short: "U", long: "uuid", value: "UUID", brief: "its UUID (default: random)" },
    nodeSize: { short: "n", long: "nodesize", value: "SIZE", brief: "bytes of a tree block: 4K to 64K (default: 16K)" },
    byteCount: { short: "b", long: "byte-count", value: "SIZE", brief: "use so many bytes of the image only" },
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
    force: { short: "f", long: "force", brief: "also over a filesystem" },
    quiet: { short: "q", long: "quiet", brief: "print nothing" },
  },
  example: "btrkit mkfs --label backup disk.img",
  operands: [1, 1],
  async run(context, options, [path]) {
    const made: MakeOptions = {
      label: options.label,
      uuid: options.uuid === undefined ? undefined : uuidOf(options.uuid),
      nodeSize: options.nodeSize === undefined ? undefined : parseBytes("--nodesize", options.nodeSize),
      size: options.byteCount === undefined ? undefined : parseBytes("--byte-count", options.byteCount),
      checksum: options.checksum as ChecksumName | undefined,
      metadata: options.metadata as "single" | "dup" | undefined,
      data: options.data as "single" | "dup" | undefined,
      ...featuresOf(options.features),
    };
    const store = await openStore(context, path!);
    try {
      if (!options.force) await demandFree(store);
      await makeFilesystem(store, made).catch((error: unknown) => {
        throw error instanceof RangeError || error instanceof TypeError ? new UsageError(error.message) : error;
      });
      if (!options.quiet) await context.out.line(`made a filesystem of ${made.size ?? store.size} bytes in ${path}`);
    } finally {
      await store.close?.();
    }
    return undefined;
  },
});

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
