import { closeSync, constants, openSync, readFileSync, readSync, unlinkSync } from "node:fs";
import * as edit from "../../edit/index.ts";
import { writeEncoded as writeToImage } from "../../encoded/write.ts";
import { BtrfsError } from "../../errors.ts";
import {
  ENCODED_LZO_4K,
  ENCODED_ZLIB,
  ENCODED_ZSTD,
  type EncodedIo,
  MAX_ENCODED_BYTES,
} from "../../format/encoded-io.ts";
import { encodedWrite as writeEncoded } from "../../linux/encoded.ts";
import { hostError } from "../../node/host-error.ts";
import { type Context, command } from "../command.ts";
import { findIn, parentIn, placeOf } from "../image-edit.ts";
import { locate } from "../images.ts";
import { LivePlace } from "../live.ts";
import { parseBytes } from "../numbers.ts";
import { UsageError } from "../options.ts";
import { parsePlace, WRITABLE_IMAGE_OPTIONS, type WritableImageOptions } from "../places.ts";
import { withWritable } from "../writable-images.ts";

const ALGORITHMS: Readonly<Record<string, number>> = {
  zlib: ENCODED_ZLIB,
  zstd: ENCODED_ZSTD,
  lzo: ENCODED_LZO_4K,
};

// `--offset` is that in the file here.
const { device, partition } = WRITABLE_IMAGE_OPTIONS;

export const encodedWrite = command({
  brief: "Write one extent as it is, unopened, into a file",
  usage: ["[options] PATH", "[options] IMAGE:PATH"],
  details: `
What BTRFS_IOC_ENCODED_WRITE does: on a mounted btrfs by the kernel, which takes root; in an image by btrkit, with the
same rules and errors. There, a new file belongs to root. The data comes from standard input or --data. What it is comes from
--metadata, as encoded read printed it, or from options, which go before it. Nobody looks into the data: what
can't be decoded is an error when the file is read. Numbers may have K, M, G or T.`,
  options: {
    metadata: { short: "m", long: "metadata", value: "FILE", brief: "JSON of encoded read; - is standard input" },
    data: { short: "i", long: "data", value: "FILE", brief: "the data (default: standard input)" },
    create: { long: "create", brief: "make the file if it is not there" },
    offset: { long: "offset", value: "N", brief: "file offset in bytes (default: 0)" },
    length: { long: "length", value: "N", brief: "bytes of the file that this covers (default: the unencoded length)" },
    unencodedLength: { long: "unencoded-length", value: "N", brief: "bytes that the data decodes to" },
    unencodedOffset: {
      long: "unencoded-offset",
      value: "N",
      brief: "where the offset lies in what the data decodes to (default: 0)",
    },
    compression: {
      long: "compression",
      value: "NAME",
      brief: "zlib, zstd, lzo (of 4 KiB sectors), or the number in linux/btrfs.h",
    },
    encryption: { long: "encryption", value: "N", brief: "0, there is no other (default: 0)" },
    device,
    partition,
  },
  example: "btrkit encoded read -o ext old | btrkit encoded write --metadata - --data ext --create new",
  operands: [1, 1],
  async run(context, options, [word]) {
    if (options.metadata === "-" && (options.data ?? "-") === "-") {
      throw new UsageError("standard input can't be both, the metadata and the data; name a file with --data");
    }
    const given = options.metadata === undefined ? {} : readMetadata(options.metadata);
    const io = nounsOf(given, options);
    const data = readData(options.data ?? "-");
    if (io.compression === 0) {
      throw new BtrfsError("kind", "Cannot write encoded: the data is not compressed, write it as any other", {
        where: { file: word! },
      });
    }
    const place = parsePlace(word!);
    if (place.kind === "path" || place.image === word) writeLive(word!, io, data, options.create);
    else await writeIn(context, place.image, place.path, io, data, { ...options, offset: undefined });
    return undefined;
  },
});

function writeLive(path: string, io: EncodedIo, data: Uint8Array, create: boolean): void {
  const isNew = create && createFile(path);
  try {
    using file = new LivePlace(path, constants.O_RDWR | constants.O_NONBLOCK);
    writeEncoded(file.native, file.fd, io, data);
  } catch (error) {
    if (isNew) unlinkSync(path);
    throw error;
  }
}

interface WriteOptions extends WritableImageOptions {
  readonly create: boolean;
}

function writeIn(
  context: Context,
  image: string,
  path: Uint8Array,
  io: EncodedIo,
  data: Uint8Array,
  options: WriteOptions,
): Promise<void> {
  return withWritable(context, image, options, async (writable) => {
    const there = options.create ? await findIn(writable, path, true) : await locate(writable.place(path), true);
    await writable.volume.transaction(async (tx) => {
      if (there !== undefined) {
        await writeToImage(placeOf(tx, there.subvolume.id), there.number, io, data);
        return;
      }
      const { subvolume, directory, name } = await parentIn(writable, path);
      const at = placeOf(tx, subvolume);
      await writeToImage(at, await edit.createFile(at, directory, name), io, data);
    });
  });
}

type Given = Readonly<Record<string, unknown>>;

function readMetadata(path: string): Given {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path === "-" ? 0 : path, "utf8"));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw hostError(error, "read", path);
    throw new BtrfsError("corrupt", `Cannot read metadata: ${error.message}`, { where: { file: path }, cause: error });
  }
  const fields = isObject(parsed) && isObject(parsed["encoded-read"]) ? parsed["encoded-read"] : parsed;
  if (isObject(fields)) return fields;
  throw new BtrfsError("corrupt", "Cannot read metadata: it is no object, expected what encoded read printed", {
    where: { file: path },
  });
}

function isObject(value: unknown): value is Given {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

interface Nouns {
  readonly offset: string | undefined;
  readonly length: string | undefined;
  readonly unencodedLength: string | undefined;
  readonly unencodedOffset: string | undefined;
  readonly compression: string | undefined;
  readonly encryption: string | undefined;
}

function nounsOf(given: Given, options: Nouns): EncodedIo {
  const number = (option: keyof Nouns, field: string, otherwise?: bigint): bigint => {
    const flag = `--${field.replaceAll("_", "-")}`;
    const text = options[option];
    if (text !== undefined) return BigInt(parseBytes(flag, text));
    const value = given[field];
    if (value === undefined && otherwise !== undefined) return otherwise;
    if (value === undefined) throw new UsageError(`option '${flag}' is missing, and no metadata has ${field}`);
    if (/^\d{1,20}$/.test(String(value))) return BigInt(String(value));
    throw new BtrfsError("corrupt", `Cannot use metadata: ${field} is ${JSON.stringify(value)}, expected a number`);
  };
  const unencodedLength = number("unencodedLength", "unencoded_length");
  const named = options.compression === undefined ? undefined : ALGORITHMS[options.compression];
  return {
    offset: number("offset", "offset", 0n),
    length: number("length", "length", unencodedLength),
    unencodedLength,
    unencodedOffset: number("unencodedOffset", "unencoded_offset", 0n),
    compression: named ?? Number(number("compression", "compression")),
    encryption: Number(number("encryption", "encryption", 0n)),
  };
}

/** All of it: an encoded extent is never longer than 128 KiB. */
function readData(path: string): Uint8Array {
  const data = new Uint8Array(MAX_ENCODED_BYTES + 1);
  let length = 0;
  try {
    const fd = path === "-" ? 0 : openSync(path, "r");
    try {
      for (let read = -1; read !== 0; length += read) read = readSync(fd, data, length, data.byteLength - length, null);
    } finally {
      if (fd !== 0) closeSync(fd);
    }
  } catch (error) {
    throw hostError(error, "read", path);
  }
  if (length <= MAX_ENCODED_BYTES) return data.subarray(0, length);
  throw new BtrfsError("limit", `Cannot write encoded: the data has more than ${MAX_ENCODED_BYTES} bytes`, {
    where: { file: path },
  });
}

/** Whether it was not there. */
function createFile(path: string): boolean {
  try {
    closeSync(openSync(path, "wx"));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw hostError(error, "create", path);
  }
}
