import { UnsupportedError } from "../../errors.ts";
import { FileSource } from "../../node/file-source.ts";
import { localZone } from "../../node/time-zone.ts";
import { dumpStream } from "../../receive/dump.ts";
import { type Context, command } from "../command.ts";
import { parseCount } from "../numbers.ts";
import { UsageError } from "../options.ts";
import { sayBytes } from "../output.ts";

export const receive = command({
  brief: "Print what a send stream holds, as btrfs receive --dump does",
  usage: ["--dump [options]"],
  details: `
One line for each command, byte for byte as btrfs receive --dump of btrfs-progs 6.2 prints it, or with --format jsonl
one JSON object. Receiving into a filesystem is not there yet.`,
  options: {
    dump: { long: "dump", brief: "print the commands, receive nothing" },
    file: { short: "f", value: "FILE", brief: "read the stream from FILE, - is standard input (default)" },
    allSegments: { long: "all-segments", brief: "go on after END with the next stream of the file" },
    maxErrors: { short: "E", long: "max-errors", value: "N", brief: "stop at N errors, 0 for never (default: 1)" },
    format: { long: "format", value: "FORMAT", choices: ["text", "jsonl"], brief: "how to print (default: text)" },
    data: { long: "data", brief: "with --format jsonl: the bytes of data too, in base64" },
    verbose: { short: "v", long: "verbose", many: true, brief: "accepted as by btrfs receive, changes nothing" },
    quiet: { short: "q", long: "quiet", brief: "accepted as by btrfs receive, changes nothing" },
    onlyOne: { short: "e", brief: "accepted as by btrfs receive, changes nothing" },
    chroot: { short: "C", long: "chroot", brief: "accepted as by btrfs receive, changes nothing" },
    rootMount: { short: "m", value: "ROOTMOUNT", brief: "accepted as by btrfs receive, changes nothing" },
    forceDecompress: { long: "force-decompress", brief: "accepted as by btrfs receive, changes nothing" },
  },
  example: "btrkit receive --dump -f home.btrfs",
  dropIn: true,
  async run(context, options, operands) {
    if (!options.dump) {
      throw new UnsupportedError("Cannot receive: it is not supported yet, only --dump is");
    }
    if (operands.length > 0) throw new UsageError(`exactly 0 arguments expected, ${operands.length} given`);
    const maxErrors = options.maxErrors === undefined ? 1 : parseCount(options.maxErrors);
    using source = await FileSource.open(options.file || "-", context.signal);
    if (options.format === "jsonl") return await dumpJson(context, source, options);
    return await dumpText(context, source, { maxErrors, allSegments: options.allSegments });
  },
});

async function dumpText(
  { out, signal, say }: Context,
  source: FileSource,
  options: { readonly maxErrors: number; readonly allSegments: boolean },
): Promise<number> {
  const reason = await dumpStream(source, (text) => out.write(text), {
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
