import { encodedReader } from "../../encoded/read.ts";
import { type EncodedIo, type EncodedReader, encodedAlgorithm, MAX_ENCODED_BYTES } from "../../format/encoded-io.ts";
import { LiveFile } from "../../linux/encoded.ts";
import { writeWholeFile } from "../../node/whole-file.ts";
import { type Context, command } from "../command.ts";
import { jsonNumber } from "../described.ts";
import { Images, locate } from "../images.ts";
import { LivePlace } from "../live.ts";
import { parseBytes, parseOffset } from "../numbers.ts";
import { UsageError } from "../options.ts";
import { IMAGE_OPTIONS, type ImageOptions, OLD_ROOT_OPTIONS, parsePlace } from "../places.ts";

/** Largest buffer: a hole or an extent without compression could fill more, nobody needs more at once. */
const MAX_LENGTH = 1 << 30;

// `--offset` is that in the file here.
const { device, degraded, partition } = IMAGE_OPTIONS;

export const encodedRead = command({
  brief: "Read one extent as it is stored, with its metadata",
  usage: ["[options] IMAGE:PATH", "[options] PATH"],
  details: `
What BTRFS_IOC_ENCODED_READ gives: the compressed bytes of the extent at a file offset, verified and unopened, and what
they decode to; for holes and what is not compressed, plain bytes. A PATH of a mounted btrfs is read by the kernel, which
takes root. The data goes to standard output and the metadata to standard error; with --output, the data to a file and
the metadata to standard output. An extent of more bytes than --length is refused, as by the kernel (ENOBUFS).`,
  options: {
    offset: { long: "offset", value: "N", brief: "file offset in bytes (K, M, G, T; default: 0)" },
    length: {
      long: "length",
      value: "N",
      brief: "size of the buffer in bytes (default: 131072, enough for any compressed extent)",
    },
    output: { short: "o", long: "output", value: "FILE", brief: "write the data to FILE" },
    format: {
      long: "format",
      value: "FORMAT",
      choices: ["json", "jsonl"],
      brief: "how to print the metadata (default: json)",
    },
    ...OLD_ROOT_OPTIONS,
    device,
    degraded,
    partition,
  },
  example: "btrkit encoded read disk.img:/home/notes.txt --offset 128K --output extent.zst",
  operands: [1, 1],
  async run(context, options, [word]) {
    const { out } = context;
    const offset = options.offset === undefined ? 0n : parseOffset("--offset", options.offset);
    const length = options.length === undefined ? MAX_ENCODED_BYTES : parseBytes("--length", options.length);
    if (length > MAX_LENGTH)
      throw new UsageError(`option '--length' can't be ${length}, expected at most ${MAX_LENGTH}`);
    if (options.output === undefined && out.isTerminal) {
      throw new UsageError("the data is binary, and standard output is a terminal; name a file with --output");
    }
    const target = new Uint8Array(length);
    const io = await withReader(context, word!, { ...options, offset: undefined }, (reader) =>
      reader.readEncoded(offset, target),
    );
    const data = target.subarray(0, io.byteLength);
    if (options.output === undefined) {
      context.say(JSON.stringify(json(io)));
      await out.write(data);
    } else {
      await writeWholeFile(options.output, data);
      if (options.format === "jsonl") await out.line(JSON.stringify(json(io)));
      else await out.document("encoded-read", json(io));
    }
    return undefined;
  },
});

type Answer = EncodedIo & { readonly byteLength: number };

/** What is named as a file of this machine, without a path inside of it, is on a mounted filesystem. */
async function withReader(
  context: Context,
  word: string,
  options: ImageOptions,
  read: (reader: EncodedReader) => Promise<Answer>,
): Promise<Answer> {
  const place = parsePlace(word);
  if (place.kind === "path" || place.image === word) return withLiveFile(word, read);
  await using images = new Images(context, options);
  return await read(encodedReader((await locate(await images.place(word), true)).openFile()));
}

async function withLiveFile(path: string, read: (reader: EncodedReader) => Promise<Answer>): Promise<Answer> {
  using place = new LivePlace(path);
  return await read(new LiveFile(place.native, place.fd));
}

/** The fields of `struct btrfs_ioctl_encoded_io_args`; offsets and lengths above 2^53 as text. */
function json(io: Answer): Record<string, unknown> {
  const { algorithm = "none", sectorSize } = encodedAlgorithm(io.compression) ?? {};
  return {
    offset: jsonNumber(io.offset),
    length: jsonNumber(io.length),
    unencoded_length: jsonNumber(io.unencodedLength),
    unencoded_offset: jsonNumber(io.unencodedOffset),
    compression: io.compression,
    compression_name: algorithm,
    ...(algorithm === "lzo" ? { lzo_sector_size: sectorSize } : {}),
    encryption: io.encryption,
    encoded_length: io.byteLength,
  };
}
