import { availableParallelism } from "node:os";
import { BtrfsError, UnsupportedError } from "../../errors.ts";
import { FIRST_FREE_OBJECTID } from "../../format/objectid.ts";
import type { Filesystem } from "../../fs/filesystem.ts";
import type { SubvolumeInfo } from "../../fs/subvolume.ts";
import { OutputFile } from "../../node/output-file.ts";
import type { ImageOrigin } from "../../node/same-image.ts";
import { SendThreads } from "../../node/send-threads.ts";
import { ImageSource } from "../../send/image-source.ts";
import { findParent } from "../../send/parent.ts";
import { estimateSend, type SendOptions, type SendSummary, send as sendSnapshot } from "../../send/send.ts";
import type { ByteSink } from "../../stream/output.ts";
import { type Context, command } from "../command.ts";
import { EventTeller } from "../events.ts";
import { Images, locate } from "../images.ts";
import { parseBytes, parseCount, parseWhole } from "../numbers.ts";
import { UsageError } from "../options.ts";
import { FORMATS } from "../output.ts";
import { IMAGE_OPTIONS, type ImageOptions, imagePlace, parsePlace } from "../places.ts";
import { Progress, progressMode } from "../progress.ts";

const HIGHEST_PROTOCOL = 2;

export const send = command({
  brief: "Send snapshots of an image as a stream, as btrfs send does of a mounted one",
  usage: ["[-qve] [-p PARENT] [-c CLONE-SOURCE]... [-f FILE] [options] IMAGE:PATH..."],
  details: `
The stream is the one that Linux 6.18 makes, byte for byte, without mounting and without root. Snapshots have to be
read-only. With -c and without -p, a parent is chosen among the clone sources. Sending from a mounted filesystem is not
there yet.`,
  options: {
    parent: { short: "p", value: "PARENT", many: true, brief: "send what is different from this snapshot" },
    clones: { short: "c", value: "CLONE-SOURCE", many: true, brief: "clone from this snapshot too (can be repeated)" },
    file: { short: "f", value: "FILE", brief: "write the stream to FILE, not to standard output" },
    oneSegment: { short: "e", brief: "of several snapshots, make one segment with one END" },
    protocol: { long: "proto", value: "N", brief: "protocol version, 1 or 2; 0 for the highest (default: 1)" },
    compressed: { long: "compressed-data", brief: "send compressed extents as they are stored; needs protocol 2" },
    noData: { long: "no-data", brief: "name changed extents instead of sending their data" },
    dryRun: { long: "dry-run", brief: "send nothing, print how long the stream would be" },
    format: { long: "format", value: "FORMAT", choices: FORMATS.slice(0, 2), brief: "of --dry-run (default: text)" },
    progress: {
      long: "progress",
      value: "HOW",
      optionalValue: true,
      brief: "progress also where there is no terminal; json: a line of JSON each",
    },
    threads: { long: "threads", value: "N", brief: "threads that read and decode data (default: processors)" },
    quiet: { short: "q", long: "quiet", brief: "print errors only" },
    verbose: { short: "v", long: "verbose", many: true, brief: "accepted as by btrfs send, changes nothing" },
    removed: { short: "i", value: "SUBVOL", brief: "removed, as from btrfs send: use -c" },
    ...IMAGE_OPTIONS,
  },
  example: "btrkit send --compressed-data -p disk.img:/snap.monday -f tuesday.btrfs disk.img:/snap.tuesday",
  dropIn: true,
  async run(context, options, words) {
    if (options.removed !== undefined) throw new BtrfsError("kind", "option -i was removed, use -c instead");
    if (options.parent.length > 1) throw new BtrfsError("kind", "you cannot have more than one parent (-p)");
    if (words.length === 0) throw new UsageError("not enough arguments: 0 but at least 1 expected");
    const protocol = protocolOf(options.protocol, options.compressed);
    const mode = progressMode(options.progress ?? (options.quiet ? "" : undefined));
    if (options.file === undefined && !options.dryRun && context.out.isTerminal) {
      throw new BtrfsError("kind", "not dumping send stream into a terminal, redirect it into a file");
    }
    const teller = new EventTeller(context.say);
    await using images = new Images(context, options);
    const place = new Places(images);
    const cloneSources: bigint[] = [];
    for (const word of options.clones) cloneSources.push((await place.readOnly(word, "cloned subvolume")).id);
    const parentWord = options.parent[0];
    const parent = parentWord === undefined ? undefined : (await place.readOnly(parentWord, "parent subvolume")).id;
    const snapshots: { readonly word: string; readonly id: bigint }[] = [];
    for (const word of words) snapshots.push({ word, id: (await place.readOnly(word, "subvolume")).id });

    const count = threadCount(options.threads);
    const threads =
      count > 1 && !options.dryRun
        ? new SendThreads(count, originOf(place, options), (event) => teller.tell(event))
        : undefined;
    await using _ = { [Symbol.asyncDispose]: async () => threads?.close() };
    const source = new ImageSource(place.filesystem.volume, threads);
    const all = parent === undefined && cloneSources.length > 0 ? await place.filesystem.subvolumes() : [];
    const plans = snapshots.map(({ word, id }, index): { word: string; options: SendOptions } => {
      const chosen = parent ?? (cloneSources.length > 0 ? findParent(all, id, cloneSources) : undefined);
      if (chosen === undefined && cloneSources.length > 0) {
        throw new BtrfsError("missing", `parent determination failed for ${id}`);
      }
      const plan: SendOptions = {
        snapshot: id,
        parent: chosen,
        cloneSources: [...cloneSources],
        protocol,
        compressedData: options.compressed,
        noData: options.noData,
        omitHeader: options.oneSegment && index > 0,
        omitEnd: options.oneSegment && index < snapshots.length - 1,
        signal: context.signal,
      };
      // What has been sent is at the receiver: the next one may be sent against it, where no parent was named.
      if (parent === undefined && cloneSources.length > 0) cloneSources.push(id);
      return { word, options: plan };
    });
    if (options.dryRun) return await dryRun(context, source, plans, options.format === "json");
    let total: number | undefined;
    if (mode !== "off" && !options.quiet) {
      total = 0;
      for (const plan of plans) total += (await estimateSend(source, plan.options)).bytes;
    }
    const progress = new Progress(options.quiet ? "off" : mode, total);
    using file = options.file === undefined || options.file === "-" ? undefined : new OutputFile(options.file);
    const sink: ByteSink = file ?? { write: (chunk) => context.out.write(chunk) };
    let before = 0;
    try {
      for (const plan of plans) {
        if (!options.quiet) context.say(`At subvol ${plan.word}`);
        const onProgress = ({ bytes }: { readonly bytes: number }): void => progress.update(before + bytes);
        before += (await sendSnapshot(source, { ...plan.options, onProgress }, sink)).bytes;
      }
    } finally {
      progress.end();
    }
    file?.finish();
    return undefined;
  },
});

/** What threads need to open the image once more. */
function originOf({ image, filesystem }: Places, options: ImageOptions): ImageOrigin {
  const { partition, offset, device, degraded, rootGeneration } = options;
  return {
    devices: [image, ...device],
    locate: {
      partition: partition === undefined ? undefined : parseWhole("--partition", partition),
      offset: offset === undefined ? undefined : parseBytes("--offset", offset),
    },
    degraded,
    rootGeneration: rootGeneration === undefined ? undefined : parseWhole("--root-generation", rootGeneration),
    generation: filesystem.volume.generation,
  };
}

function threadCount(given: string | undefined): number {
  if (given === undefined) return availableParallelism();
  const count = Number(given);
  if (/^\d+$/.test(given) && count >= 1 && count <= 256) return count;
  throw new UsageError(`option '--threads' can't be '${given}', expected a number from 1 to 256`);
}

function protocolOf(given: string | undefined, compressed: boolean): 1 | 2 {
  if (given === undefined) return compressed ? HIGHEST_PROTOCOL : 1;
  const number = parseCount(given);
  if (number > HIGHEST_PROTOCOL) {
    throw new UnsupportedError(`Cannot send: protocol version is ${number}, at most ${HIGHEST_PROTOCOL} is supported`);
  }
  if (number === 1 && compressed) {
    throw new BtrfsError("kind", "--compressed-data requires protocol version >= 2 (requested 1)");
  }
  return number === 1 ? 1 : HIGHEST_PROTOCOL;
}

/** The snapshots that operands name, all of one filesystem. */
class Places {
  readonly #images: Images;
  #filesystem: Filesystem | undefined;
  image = "";

  constructor(images: Images) {
    this.#images = images;
  }

  get filesystem(): Filesystem {
    return this.#filesystem!;
  }

  async readOnly(word: string, what: string): Promise<SubvolumeInfo> {
    if (parsePlace(word).kind !== "image") {
      throw new UnsupportedError(`Cannot send ${word}: only snapshots of an image can be sent so far, as IMAGE:PATH`);
    }
    this.image = imagePlace(word).image;
    const place = await this.#images.place(word);
    this.#filesystem ??= place.filesystem;
    if (this.#filesystem !== place.filesystem) {
      throw new BtrfsError("kind", `Cannot send: ${word} is of another image than the one before`);
    }
    const inode = await locate(place, true);
    if (inode.number !== FIRST_FREE_OBJECTID) {
      throw new BtrfsError("kind", `failed to get flags for subvolume ${word}: Invalid argument`);
    }
    const { info } = inode.subvolume;
    if (!info.readOnly) throw new BtrfsError("permission", `${what} ${word} is not read-only`);
    return info;
  }
}

async function dryRun(
  { out }: Context,
  source: ImageSource,
  plans: readonly { readonly word: string; readonly options: SendOptions }[],
  asJson: boolean,
): Promise<undefined> {
  const found: { readonly word: string; readonly summary: SendSummary }[] = [];
  for (const { word, options } of plans) found.push({ word, summary: await estimateSend(source, options) });
  const total = found.reduce((sum, { summary }) => sum + summary.bytes, 0);
  if (asJson) {
    const subvolumes = found.map(({ word, summary }) => ({
      subvolume: word,
      bytes: summary.bytes,
      commands: Object.fromEntries([...summary.counts].map(([name, count]) => [name, { ...count }])),
    }));
    await out.document("send-dry-run", { bytes: total, subvolumes });
    return undefined;
  }
  for (const { word, summary } of found) {
    await out.line(`${word}: ${summary.bytes} bytes`);
    for (const [name, { commands, bytes }] of [...summary.counts].sort((a, b) => b[1].bytes - a[1].bytes)) {
      await out.line(
        `  ${name.padEnd(14)} ${String(commands).padStart(10)} commands ${String(bytes).padStart(14)} bytes`,
      );
    }
  }
  if (found.length > 1) await out.line(`${total} bytes in all`);
  return undefined;
}
