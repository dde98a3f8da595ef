import { equalBytes } from "../bytes/bytes.ts";
import { PACK, type PackData, type Packed, type Packer, piecesOf } from "../edit/pack.ts";
import { ATTRIBUTES } from "../stream/attributes.ts";
import { CommandBatch } from "../stream/batch.ts";
import { COMMANDS } from "../stream/commands.ts";

const WRITE = COMMANDS.write.number;
const PATH = ATTRIBUTES.path.number;
const DATA = ATTRIBUTES.data.number;
const OFFSET = ATTRIBUTES.fileOffset.number;

/** Plain writes that follow each other become one, up to so many bytes. */
export const GATHERED_BYTES = 1 << 20;
/** Data that is handed to a thread together, at least. */
const JOB_BYTES = 1 << 20;
/** Room that is enough for all but single writes that are longer. */
const BUFFER_BYTES = JOB_BYTES + GATHERED_BYTES;
/** Commands that wait with their data, in bytes of the stream, and in batches. */
const AHEAD_BYTES = 8 << 20;
const AHEAD_BATCHES = 64;
/** What is kept to be used again. */
const MAX_IDLE = 16;
const MAX_IDLE_BYTES = 4 << 20;

/** Commands that wait for their turn, in memory of their own but for the data of plain writes. */
export interface WaitingBatch {
  readonly batch: CommandBatch;
  /** By the last command of each: what the writes up to there put into a file. */
  readonly runs: Map<number, Run>;
  /** Of the stream. */
  readonly bytes: number;
}

/** Plain data that follows each other, of one file. */
export interface Run {
  readonly offset: bigint;
  readonly path: Uint8Array;
  readonly job: Job;
  /** In the data of the job. */
  readonly start: number;
  length: number;
  /** Rows of its pieces in the job. */
  firstPiece: number;
  pieces: number;
}

interface Job {
  data: Uint8Array<ArrayBuffer>;
  output: ArrayBuffer;
  used: number;
  readonly pieces: number[];
  /** Runs that are not written yet. */
  runs: number;
  answer: Promise<Packed> | undefined;
  packed: Packed | undefined;
  /** Where each of its compressed pieces begins. */
  starts: readonly number[];
}

/**
 * Compresses the data of plain writes ahead of their turn. Commands are kept back meanwhile and carried out in their order, when what they
 * write is compressed: a file that is read, cloned from or overwritten has all that was written before. What lies together is
 * compressed together, wherever batches end: the same stream gives the same extents, with any number of threads.
 */
export class CompressAhead {
  readonly #packer: Packer;
  readonly #sectorSize: number;
  readonly #waiting: WaitingBatch[] = [];
  #bytes = 0;
  #job: Job | undefined;
  /** Of the last command that was taken: more may follow. */
  #run: { readonly run: Run; readonly waiting: WaitingBatch; last: number } | undefined;
  readonly #batches: CommandBatch[] = [];
  readonly #buffers: ArrayBuffer[] = [];

  constructor(packer: Packer, sectorSize: number) {
    this.#packer = packer;
    this.#sectorSize = sectorSize;
  }

  /** The first batch should have its turn: more would be too much to keep in memory. */
  get isFull(): boolean {
    return this.#bytes > AHEAD_BYTES || this.#waiting.length > AHEAD_BATCHES;
  }

  /** Takes commands over: they are copied. */
  take(batch: CommandBatch, first: number, last: number): void {
    const own = this.#batches.pop() ?? new CommandBatch(batch.segment);
    own.take(batch, first, last, WRITE);
    const bytes = own.count === 0 ? 0 : own.payloadAt(own.count - 1) + own.payloadLength(own.count - 1);
    const waiting: WaitingBatch = { batch: own, runs: new Map(), bytes };
    this.#waiting.push(waiting);
    for (let i = first; i < last; i++) {
      if (batch.type(i) === WRITE) this.#add(waiting, batch, i, i - first);
      else this.#endRun();
    }
    this.#bytes += bytes;
  }

  /** The batch whose turn it is. */
  next(): WaitingBatch | undefined {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) return undefined;
    if (this.#run?.waiting === waiting) this.#endRun();
    this.#bytes -= waiting.bytes;
    return waiting;
  }

  /** A batch that had its turn is not needed any more. */
  done({ batch }: WaitingBatch): void {
    const isSmall = batch.bytes.byteLength <= MAX_IDLE_BYTES;
    if (isSmall && this.#batches.length < MAX_IDLE) this.#batches.push(batch);
  }

  /** Nothing that waits is wanted any more. */
  forget(): void {
    this.#waiting.length = 0;
    this.#bytes = 0;
    this.#run = undefined;
    this.#job = undefined;
  }

  /** Hands `write` the data of a run, and what gives them compressed. Both are lent until it settles. */
  async use(run: Run, write: (data: Uint8Array, pack: PackData) => void | Promise<void>): Promise<void> {
    const { job } = run;
    if (job.answer === undefined) {
      this.#endRun();
      this.#send(job);
    }
    if (job.packed === undefined) this.#note(job, await job.answer!);
    const { data, output, lengths } = job.packed!;
    let piece = run.firstPiece;
    const end = piece + run.pieces;
    await write(new Uint8Array(data, run.start, run.length), (content, offset, room, isInline) => {
      const start = run.start + Number(offset - run.offset);
      // Pieces are asked for in their order; some are not, where the file turns out to be otherwise.
      while (piece < end && job.pieces[piece * PACK.columns + PACK.start]! < start) piece++;
      const row = piece * PACK.columns;
      const isForeseen =
        piece < end &&
        job.pieces[row + PACK.start] === start &&
        job.pieces[row + PACK.length] === content.byteLength &&
        job.pieces[row + PACK.room] === room &&
        job.pieces[row + PACK.isInline] === Number(isInline);
      if (!isForeseen) return this.pack(content, offset, room, isInline);
      return lengths[piece] === 0 ? undefined : new Uint8Array(output, job.starts[piece]!, lengths[piece]!);
    });
    if (--job.runs === 0) this.#release(job.packed!);
  }

  /** Compresses what could not be foreseen. */
  readonly pack: PackData = async (content, _offset, room, isInline) => {
    const data = content.slice().buffer;
    const output = new ArrayBuffer(data.byteLength);
    const pieces = Float64Array.of(0, data.byteLength, room, Number(isInline));
    const packed = await this.#packer.run({ data, output, pieces });
    return packed.lengths[0] === 0 ? undefined : new Uint8Array(packed.output, 0, packed.lengths[0]);
  };

  #add(waiting: WaitingBatch, batch: CommandBatch, i: number, at: number): void {
    const path = batch.value(i, PATH)!;
    const data = batch.value(i, DATA)!;
    const offset = batch.u64(i, OFFSET);
    const open = this.#run;
    const goesOn =
      open !== undefined &&
      open.run.offset + BigInt(open.run.length) === offset &&
      open.run.length + data.byteLength <= GATHERED_BYTES &&
      equalBytes(open.run.path, path);
    if (!goesOn) this.#begin(waiting, offset, path, data.byteLength);
    const { run } = this.#run!;
    run.job.data.set(data, run.job.used);
    run.job.used += data.byteLength;
    run.length += data.byteLength;
    this.#run = { run, waiting, last: at };
  }

  #begin(waiting: WaitingBatch, offset: bigint, path: Uint8Array, bytes: number): void {
    this.#endRun();
    if (this.#job !== undefined && this.#job.used + Math.max(bytes, GATHERED_BYTES) > this.#job.data.byteLength) {
      this.#send(this.#job);
    }
    this.#job ??= this.#newJob(Math.max(BUFFER_BYTES, bytes));
    const job = this.#job;
    const run = { offset, path: path.slice(), job, start: job.used, length: 0, firstPiece: 0, pieces: 0 };
    job.runs++;
    this.#run = { run, waiting, last: 0 };
  }

  /** No more data follows: its last command is to write it. */
  #endRun(): void {
    if (this.#run === undefined) return;
    const { run, waiting, last } = this.#run;
    this.#run = undefined;
    waiting.runs.set(last, run);
    const { job } = run;
    const rows = piecesOf(run.offset, run.start, run.length, this.#sectorSize);
    run.firstPiece = job.pieces.length / PACK.columns;
    run.pieces = rows.length / PACK.columns;
    for (const value of rows) job.pieces.push(value);
    if (job.used >= JOB_BYTES) this.#send(job);
  }

  #newJob(bytes: number): Job {
    const room = (): ArrayBuffer =>
      (bytes === BUFFER_BYTES ? this.#buffers.pop() : undefined) ?? new ArrayBuffer(bytes);
    const data = new Uint8Array(room());
    return { data, output: room(), used: 0, pieces: [], runs: 0, answer: undefined, packed: undefined, starts: [] };
  }

  /** Lets a job be done. All of its runs have ended. */
  #send(job: Job): void {
    if (this.#job === job) this.#job = undefined;
    const answer = this.#packer.run({
      data: job.data.buffer,
      output: job.output,
      pieces: Float64Array.from(job.pieces),
    });
    if (!(answer instanceof Promise)) this.#note(job, answer);
    job.answer = Promise.resolve(answer);
    // It is awaited when its turn comes; until then nobody hears of its failure.
    job.answer.catch(() => {});
  }

  #note(job: Job, packed: Packed): void {
    job.packed = packed;
    let at = 0;
    job.starts = Array.from(packed.lengths, (length) => {
      at += length;
      return at - length;
    });
  }

  #release({ data, output }: Packed): void {
    for (const buffer of [data, output]) {
      if (buffer.byteLength === BUFFER_BYTES && this.#buffers.length < 2 * MAX_IDLE) this.#buffers.push(buffer);
    }
  }
}
