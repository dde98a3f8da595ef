import { displayName } from "../../bytes/display.ts";
import { BtrfsError, UnsupportedError } from "../../errors.ts";
import { OutputFile } from "../../node/output-file.ts";
import type { LeftOut } from "../../send/damage.ts";
import { findParent } from "../../send/parent.ts";
import { estimateSend, type SendOptions, type SendSummary } from "../../send/send.ts";
import type { SendSource } from "../../send/source.ts";
import type { ByteSink } from "../../stream/output.ts";
import { type Context, command } from "../command.ts";
import { PROGRESS_OPTION } from "../common-options.ts";
import { EXIT } from "../exit.ts";
import { isLivePath } from "../live-path.ts";
import { parseCount } from "../numbers.ts";
import { UsageError } from "../options.ts";
import { FORMATS } from "../output.ts";
import { IMAGE_OPTIONS } from "../places.ts";
import { Progress, progressMode } from "../progress.ts";
import { imageSender } from "../send-image.ts";
import { sendThreadCount } from "../send-threads.ts";
import { ENGINES, type Engine, type Sender } from "../sender.ts";

/** What `--proto 0` means, as with kernels that are not built for more; 3 has to be asked for. */
const DEFAULT_PROTOCOL = 2;
const HIGHEST_PROTOCOL = 3;

export const send = command({
  brief: "Send snapshots as a stream, as btrfs send does, also those of unmounted images",
  usage: ["[-qve] [-p PARENT] [-c CLONE-SOURCE]... [-f FILE] [options] SUBVOL..."],
  details: `
SUBVOL is IMAGE:PATH, or a path on a mounted btrfs (needs root). The stream is the one that Linux 6.18 makes, byte for
byte; an image needs neither a mount nor root. Snapshots have to be read-only. With -c and without -p, a parent is chosen
among the clone sources. What is mounted is sent by the kernel unless --engine, or BTRKIT_SEND_ENGINE, says btrkit.`,
  options: {
    parent: { short: "p", value: "PARENT", many: true, brief: "send what is different from this snapshot" },
    clones: { short: "c", value: "CLONE-SOURCE", many: true, brief: "clone from this snapshot too (can be repeated)" },
    file: { short: "f", value: "FILE", brief: "write the stream to FILE, not to standard output" },
    oneSegment: { short: "e", brief: "of several snapshots, make one segment with one END" },
    protocol: { long: "proto", value: "N", brief: "protocol version, 1 or 2; 0 for the highest (default: 1)" },
    compressed: { long: "compressed-data", brief: "send compressed extents as they are stored; needs protocol 2" },
    noData: { long: "no-data", brief: "name changed extents instead of sending their data" },
    engine: { long: "engine", value: "WHO", choices: ENGINES, brief: "who sends what is mounted (default: kernel)" },
    force: { long: "force", brief: "send a writable subvolume of an image, under a uuid of its own" },
    skipDamaged: {
      long: "skip-damaged",
      brief: "leave out files that can't be read, and list them; exit status 4 then; a uuid of its own",
    },
    dryRun: { long: "dry-run", brief: "send nothing, print how long the stream would be" },
    format: { long: "format", value: "FORMAT", choices: FORMATS.slice(0, 2), brief: "of --dry-run (default: text)" },
    ...PROGRESS_OPTION,
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
    const mode = options.quiet ? "off" : progressMode(options.progress);
    if (options.file === undefined && !options.dryRun && context.out.isTerminal) {
      throw new BtrfsError("kind", "not dumping send stream into a terminal, redirect it into a file");
    }
    const engine = engineOf(options.engine);
    await using sender = (await isLivePath(words[0]!, options))
      ? await liveSender(engine)
      : imageSender(context, options, sendThreadCount(options));
    if (options.engine === "kernel" && !sender.isLive) {
      throw new BtrfsError("kind", "--engine kernel is for what is mounted: unmounted images are sent by btrkit");
    }
    if (options.force && sender.isLive) throw new BtrfsError("kind", "--force is for unmounted images");
    const plans = await makePlans(sender, words, options, protocol, context.signal);
    const source = await sender.source();
    if (options.dryRun) {
      const left = await dryRun(context, source, plans, options.format === "json");
      return tellLeftOut(context, left);
    }
    let total: number | undefined;
    if (mode !== "off" && !(sender.isLive && engine === "kernel")) {
      total = 0;
      for (const plan of plans) total += (await estimateSend(source, plan.options)).bytes;
    }
    const progress = new Progress(mode, total);
    using file = options.file === undefined || options.file === "-" ? undefined : new OutputFile(options.file);
    const sink: ByteSink = file ?? { write: (chunk) => context.out.write(chunk) };
    let before = 0;
    const leftOut: LeftOut[] = [];
    try {
      for (const plan of plans) {
        if (!options.quiet) context.say(`At subvol ${plan.word}`);
        const onProgress = ({ bytes }: { readonly bytes: number }): void => progress.update(before + bytes);
        const sent = await sender.send(source, { ...plan.options, onProgress }, sink);
        before += sent.bytes;
        progress.update(before);
        leftOut.push(...sent.leftOut);
      }
    } finally {
      progress.end();
    }
    file?.finish();
    return tellLeftOut(context, leftOut);
  },
});

/** @returns The exit status. */
function tellLeftOut({ say }: Context, leftOut: readonly LeftOut[]): number | undefined {
  for (const { paths, error } of leftOut) {
    for (const path of paths) say(`left out ${displayName(path)}: ${error.message}`);
  }
  return leftOut.length > 0 ? EXIT.damaged : undefined;
}

interface Plan {
  readonly word: string;
  readonly options: SendOptions;
}

interface PlanOptions {
  readonly clones: readonly string[];
  readonly parent: readonly string[];
  readonly compressed: boolean;
  readonly noData: boolean;
  readonly oneSegment: boolean;
  readonly force: boolean;
  readonly skipDamaged: boolean;
}

/** One send for each word, with the parent that it is sent against. */
async function makePlans(
  sender: Sender,
  words: readonly string[],
  options: PlanOptions,
  protocol: 1 | 2 | 3,
  signal: AbortSignal,
): Promise<Plan[]> {
  const cloneSources: bigint[] = [];
  for (const word of options.clones) cloneSources.push(await sender.find(word, "cloned subvolume"));
  const parentWord = options.parent[0];
  const parent = parentWord === undefined ? undefined : await sender.find(parentWord, "parent subvolume");
  const snapshots: { readonly word: string; readonly id: bigint }[] = [];
  for (const word of words) snapshots.push({ word, id: await sender.find(word, "subvolume", options.force) });
  const all = parent === undefined && cloneSources.length > 0 ? await sender.all() : [];
  return snapshots.map(({ word, id }, index) => {
    const chosen = parent ?? (cloneSources.length > 0 ? findParent(all, id, cloneSources) : undefined);
    if (chosen === undefined && cloneSources.length > 0) {
      throw new BtrfsError("missing", `parent determination failed for ${id}`);
    }
    if (options.skipDamaged && chosen !== undefined) {
      throw new BtrfsError("kind", "--skip-damaged is for full sends: it takes neither -p nor -c");
    }
    const plan: SendOptions = {
      snapshot: id,
      parent: chosen,
      cloneSources: [...cloneSources],
      protocol,
      compressedData: options.compressed,
      noData: options.noData,
      force: options.force,
      skipDamaged: options.skipDamaged,
      omitHeader: options.oneSegment && index > 0,
      omitEnd: options.oneSegment && index < snapshots.length - 1,
      signal,
    };
    // What has been sent is at the receiver: the next one may be sent against it, where no parent was named.
    if (parent === undefined && cloneSources.length > 0) cloneSources.push(id);
    return { word, options: plan };
  });
}

/** Loaded for who sends what is mounted only. */
async function liveSender(engine: Engine): Promise<Sender> {
  return (await import("../send-live.ts")).liveSender(engine);
}

function engineOf(given: string | undefined): Engine {
  const name = given ?? process.env.BTRKIT_SEND_ENGINE ?? "kernel";
  const engine = ENGINES.find((one) => one === name);
  if (engine !== undefined) return engine;
  throw new UsageError(`BTRKIT_SEND_ENGINE can't be '${name}', expected ${ENGINES.join(" or ")}`);
}

function protocolOf(given: string | undefined, compressed: boolean): 1 | 2 | 3 {
  if (given === undefined) return compressed ? DEFAULT_PROTOCOL : 1;
  const number = parseCount(given);
  if (number > HIGHEST_PROTOCOL) {
    throw new UnsupportedError(`Cannot send: protocol version is ${number}, at most ${HIGHEST_PROTOCOL} is supported`);
  }
  if (number === 1 && compressed) {
    throw new BtrfsError("kind", "--compressed-data requires protocol version >= 2 (requested 1)");
  }
  return number === 0 ? DEFAULT_PROTOCOL : (number as 1 | 2 | 3);
}

async function dryRun(
  { out }: Context,
  source: SendSource,
  plans: readonly { readonly word: string; readonly options: SendOptions }[],
  asJson: boolean,
): Promise<LeftOut[]> {
  const found: { readonly word: string; readonly summary: SendSummary }[] = [];
  for (const { word, options } of plans) found.push({ word, summary: await estimateSend(source, options) });
  const leftOut = found.flatMap(({ summary }) => summary.leftOut);
  const total = found.reduce((sum, { summary }) => sum + summary.bytes, 0);
  if (asJson) {
    const subvolumes = found.map(({ word, summary }) => ({
      subvolume: word,
      bytes: summary.bytes,
      commands: Object.fromEntries([...summary.counts].map(([name, count]) => [name, { ...count }])),
    }));
    await out.document("send-dry-run", { bytes: total, subvolumes });
    return leftOut;
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
  return leftOut;
}
