import type { ErrorCode } from "../errors.ts";
import { ATTRIBUTES } from "../stream/attributes.ts";
import type { CommandBatch, Segment } from "../stream/batch.ts";
import { COMMANDS, type CommandName, commandName, commandWord } from "../stream/commands.ts";
import { readBatches } from "../stream/reader.ts";
import type { StreamFault as Gap } from "../stream/recover.ts";
import type { StreamInput } from "../stream/source.ts";
import { Chain } from "./chain.ts";
import { nameFaultOf } from "./check-names.ts";
import { CountedData } from "./counted-data.ts";
import type { EncodedThreads } from "./encoded.ts";
import { type EncodedPlace, EncodedWrites } from "./encoded-writes.ts";
import { FaultList } from "./fault-list.ts";
import { dataRange, LossTracker } from "./loss.ts";
import type { LostRange, SegmentReport, StreamFault, VerifyReport } from "./report.ts";
import { Sequence } from "./sequence.ts";

const PATH = ATTRIBUTES.path.number;
const CLONE_UUID = ATTRIBUTES.cloneUuid.number;
const { subvol: SUBVOL, snapshot: SNAPSHOT, encodedWrite: ENCODED_WRITE, clone: CLONE, end: END } = COMMANDS;

export interface VerifyOptions {
  readonly signal?: AbortSignal;
  /** Largest command that is read, in bytes: 64 MiB by default. */
  readonly maxCommandBytes?: number;
  /** Threads that decode encoded writes too. */
  readonly threads?: EncodedThreads;
  /**
   * Each fault as it is found, also those that are too many for the report: roughly in the order of the stream, as encoded writes are
   * decoded in the background. Verifying waits for what it returns, though not before the next fault.
   */
  readonly onFault?: (fault: StreamFault) => unknown;
  /** Bytes of all streams that have been read. */
  readonly onProgress?: (progress: { readonly bytes: number; readonly commands: number }) => void;
}

/**
 * Checks send streams without receiving them: framing, checksums, attributes, paths, the order of commands, that every
 * encoded write decodes, and that the streams follow each other.
 *
 * A fault never stops it: it goes on at the next sound command.
 *
 * @param streams In the order in which they would be received.
 * @throws what reading the inputs throws; never an error about what they hold.
 */
export async function verifyStreams(
  streams: Iterable<StreamInput>,
  options: VerifyOptions = {},
): Promise<VerifyReport> {
  const verifier = new StreamVerifier(options);
  for (const stream of streams) await verifier.verify(stream);
  return verifier.finish();
}

/** Verifies streams one after the other, for callers that open them one by one. */
export class StreamVerifier {
  readonly #options: VerifyOptions;
  readonly #sequence = new Sequence();
  readonly #loss = new LossTracker();
  readonly #chain = new Chain();
  readonly #countedData = new CountedData();
  readonly #encoded: EncodedWrites;
  readonly #counts = new Float64Array(COMMANDS.enableVerity.number + 1);
  readonly #segments: SegmentReport[] = [];
  readonly #faults: FaultList;
  #skippedBytes = 0;
  #stream = -1;
  #bytesBefore = 0;
  #commandsBefore = 0;
  #segment: Segment | undefined;
  /** A gap whose loss is known only when the next command has come. Of several that touch, the last. */
  #gap: Gap | undefined;

  constructor(options: VerifyOptions = {}) {
    this.#options = options;
    this.#faults = new FaultList(options.onFault);
    this.#encoded = new EncodedWrites(options.threads, (place, message) => this.#undecodable(place, message));
  }

  /** Reads one stream to its end. */
  async verify(input: StreamInput): Promise<void> {
    this.#stream++;
    const { signal, maxCommandBytes, onProgress } = this.#options;
    let bytes = 0;
    let commands = 0;
    const batches = readBatches(input, {
      ...(signal === undefined ? {} : { signal }),
      ...(maxCommandBytes === undefined ? {} : { maxCommandBytes }),
      recover: (gap) => {
        bytes = Math.max(bytes, gap.end);
        this.#noteGap(gap);
        return this.#faults.told();
      },
      onProgress: (progress) => {
        ({ bytes, commands } = progress);
        onProgress?.({ bytes: this.#bytesBefore + bytes, commands: this.#commandsBefore + commands });
      },
    });
    for await (const batch of batches) {
      if (batch.segment !== this.#segment) this.#beginSegment(batch.segment);
      this.#checkBatch(batch);
      const last = batch.count - 1;
      if (last >= 0) bytes = Math.max(bytes, batch.streamOffset(last) + 10 + batch.payloadLength(last));
      await this.#encoded.settle();
      await this.#faults.told();
    }
    this.#endSegment();
    this.#closeGap(undefined, 0);
    await this.#encoded.finish();
    await this.#faults.told();
    this.#bytesBefore += bytes;
    this.#commandsBefore += commands;
  }

  /** What was found, after the last stream. */
  finish(): VerifyReport {
    const { subvolumes, faults } = this.#chain.finish();
    for (const { code, report, message } of faults) {
      const { stream, streamOffset, path } = report;
      this.#faults.add({
        stream,
        code,
        message,
        streamOffset,
        skippedBytes: 0,
        path,
        lost: [],
        lostUnnamed: false,
      });
    }
    const byCommand: Partial<Record<CommandName | "unknown", number>> = {};
    this.#counts.forEach((count, number) => {
      if (count > 0) byCommand[commandName(number) ?? "unknown"] = count;
    });
    return {
      sound: this.#faults.isEmpty,
      bytes: this.#bytesBefore,
      commands: this.#counts.reduce((sum, count) => sum + count, 0),
      byCommand,
      byAlgorithm: this.#encoded.byAlgorithm,
      segments: this.#segments,
      subvolumes,
      faults: this.#faults.sorted(),
      faultsOmitted: this.#faults.omitted,
      skippedBytes: this.#skippedBytes,
    };
  }

  #checkBatch(batch: CommandBatch): void {
    for (let i = 0; i < batch.count; i++) {
      if (this.#gap !== undefined) this.#closeGap(batch, i);
      this.#counts[batch.type(i)]!++;
      this.#countedData.note(batch, i);
      const bad = nameFaultOf(batch, i);
      if (bad !== undefined) {
        this.#fault(batch, i, bad.code, bad.message, batch.value(i, bad.attribute), bad.attributeName);
        // The name that it makes, or takes away, is out of reach for whatever follows.
        this.#sequence.forget();
        continue;
      }
      this.#checkCommand(batch, i);
    }
    this.#loss.pass(batch);
  }

  #checkCommand(batch: CommandBatch, i: number): void {
    const type = batch.type(i);
    if (type === SUBVOL.number || type === SNAPSHOT.number) this.#beginSubvolume(batch, i);
    else if (type === END.number) this.#checkEnd(batch, i);
    else this.#checkInside(batch, i, type);
  }

  #checkInside(batch: CommandBatch, i: number, type: number): void {
    if (!this.#sequence.begun) {
      this.#fault(
        batch,
        i,
        "missing",
        `Cannot place ${commandWord(type)}: no SUBVOL or SNAPSHOT came before it in this segment`,
      );
      this.#sequence.forget();
      return;
    }
    const wrong = this.#sequence.check(batch, i);
    if (wrong !== undefined) {
      const path = batch.bytes.slice(wrong.at, wrong.end);
      this.#fault(batch, i, wrong.code, `Cannot carry out ${commandWord(type)}: the path ${wrong.complaint}`, path);
    }
    if (type === CLONE.number) this.#chain.source(batch.bytes, batch.valueAt(batch.find(i, CLONE_UUID)));
    if (type !== ENCODED_WRITE.number) return;
    const complaint = this.#encoded.add(batch, i);
    if (complaint !== undefined) this.#fault(batch, i, "corrupt", `Cannot decode encoded write: it ${complaint}`);
  }

  #beginSubvolume(batch: CommandBatch, i: number): void {
    const increment = batch.type(i) === SNAPSHOT.number;
    this.#sequence.begin(batch, i, !increment);
    const uuid = batch.value(i, ATTRIBUTES.uuid.number)!.slice();
    this.#chain.begin({
      stream: this.#stream,
      streamOffset: batch.streamOffset(i),
      path: batch.value(i, PATH)!.slice(),
      uuid,
      ctransid: batch.u64(i, ATTRIBUTES.ctransid.number),
      ...(increment
        ? {
            parent: {
              uuid: batch.value(i, CLONE_UUID)!.slice(),
              ctransid: batch.u64(i, ATTRIBUTES.cloneCtransid.number),
            },
          }
        : {}),
      needs: [],
    });
  }

  #checkEnd(batch: CommandBatch, i: number): void {
    if (this.#sequence.begun) return;
    this.#fault(batch, i, "missing", "Cannot take END for a subvolume's: the segment holds none");
  }

  #beginSegment(segment: Segment): void {
    this.#endSegment();
    this.#segment = segment;
    this.#sequence.reset();
    this.#countedData.begin(segment.version);
    if (this.#gap === undefined) this.#loss.reset();
    else this.#sequence.forget();
  }

  #endSegment(): void {
    const segment = this.#segment;
    if (segment === undefined) return;
    const { streamOffset, version } = segment;
    this.#segments.push({ stream: this.#stream, streamOffset, version, end: segment.state === "end" });
    this.#segment = undefined;
    if (!this.#countedData.isOne) return;
    const message =
      "Cannot trust the version of the segment: it is 2, and all DATA begin with their own length, as in version 1";
    this.#faults.add({
      stream: this.#stream,
      code: "corrupt",
      message,
      streamOffset,
      skippedBytes: 0,
      lost: [],
      lostUnnamed: false,
    });
  }

  #noteGap(gap: Gap): void {
    this.#skippedBytes += gap.end - gap.start;
    if (this.#gap !== undefined) this.#reportGap(this.#gap, []);
    // Nothing is lost where the command is read again, as one of another version.
    const isReadAgain = gap.isOneCommand && gap.start === gap.end;
    this.#gap = isReadAgain ? undefined : gap;
    if (isReadAgain) this.#reportGap(gap, []);
  }

  /** The next sound command has come, or the end: now it can be said what the gap took. */
  #closeGap(batch: CommandBatch | undefined, i: number): void {
    const gap = this.#gap;
    if (gap === undefined) return;
    this.#gap = undefined;
    const lost = batch === undefined ? this.#loss.atEnd() : this.#loss.before(batch, i);
    this.#sequence.forget();
    this.#reportGap(gap, lost);
  }

  #reportGap({ error, start, end, isOneCommand }: Gap, lost: readonly LostRange[]): void {
    const { commandIndex, command, attribute } = error.where;
    this.#faults.add({
      stream: this.#stream,
      code: error.code,
      message: error.sentence,
      streamOffset: start,
      skippedBytes: end - start,
      ...(commandIndex === undefined ? {} : { commandIndex }),
      ...(command === undefined ? {} : { command }),
      ...(attribute === undefined ? {} : { attribute }),
      lost,
      lostUnnamed: !isOneCommand,
    });
  }

  #undecodable({ streamOffset, commandIndex, path, from, to }: EncodedPlace, message: string): void {
    const command = commandWord(ENCODED_WRITE.number);
    const lost = [{ path, from, to }];
    this.#faults.add({
      stream: this.#stream,
      code: "corrupt",
      message,
      streamOffset,
      skippedBytes: 0,
      commandIndex,
      command,
      path,
      lost,
      lostUnnamed: false,
    });
  }

  #fault(
    batch: CommandBatch,
    i: number,
    code: ErrorCode,
    message: string,
    named?: Uint8Array,
    attribute?: string,
  ): void {
    const path = (named ?? batch.value(i, PATH))?.slice();
    const range = dataRange(batch, i);
    this.#faults.add({
      stream: this.#stream,
      code,
      message,
      streamOffset: batch.streamOffset(i),
      skippedBytes: 0,
      commandIndex: batch.index(i),
      command: commandWord(batch.type(i)),
      ...(attribute === undefined ? {} : { attribute }),
      ...(path === undefined ? {} : { path }),
      lost: range === undefined || path === undefined ? [] : [{ path, from: range.start, to: range.end }],
      lostUnnamed: false,
    });
  }
}
