import { loadCodecs } from "#codec";
import { equalBytes } from "../bytes/bytes.ts";
import { BtrfsError } from "../errors.ts";
import { ENCODED_LZO_4K, encodedAlgorithm, MAX_ENCODED_BYTES } from "../format/encoded-io.ts";
import { ATTRIBUTES } from "../stream/attributes.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { BARE_DATA_VERSION } from "../stream/wire.ts";
import {
  BROKEN,
  COMPRESSION,
  checkEncoded,
  DECODED,
  decodeRow,
  type EncodedBatch,
  type EncodedThreads,
  LENGTH,
  newEncodedBatch,
  RESULT,
  ROW,
  START,
} from "./encoded.ts";
import type { AlgorithmReport } from "./report.ts";

const PATH = ATTRIBUTES.path.number;
const DATA = ATTRIBUTES.data.number;

/** Where an encoded write stood, for the fault that may be found much later. */
export interface EncodedPlace {
  readonly streamOffset: number;
  readonly commandIndex: number;
  readonly path: Uint8Array;
  readonly from: bigint;
  readonly to: bigint;
  /** Decoded bytes that the covered part of the file needs. */
  readonly needed: number;
}

/** A full batch, and where its writes stood. */
interface Full {
  readonly batch: EncodedBatch;
  readonly places: readonly EncodedPlace[];
}

/** Decodes the encoded writes of a stream: in the background as far as there are threads for it, the rest right here. */
export class EncodedWrites {
  readonly byAlgorithm: Record<string, AlgorithmReport> = {};

  readonly #threads: EncodedThreads | undefined;
  readonly #report: (place: EncodedPlace, message: string) => void;
  readonly #underway = new Set<Promise<void>>();
  readonly #ready: Full[] = [];
  #failure: { readonly error: unknown } | undefined;
  readonly #idle: EncodedBatch[] = [];
  #batch: EncodedBatch | undefined;
  #used = 0;
  #places: EncodedPlace[] = [];
  #path: Uint8Array = new Uint8Array(0);

  constructor(threads: EncodedThreads | undefined, report: (place: EncodedPlace, message: string) => void) {
    this.#threads = threads;
    this.#report = report;
  }

  /** Takes a copy of encoded write `i`; says as the tail of a sentence what is wrong with its numbers. */
  add(batch: CommandBatch, i: number): string | undefined {
    const compression = batch.u32(i, ATTRIBUTES.compression.number);
    const named = encodedAlgorithm(compression);
    const slot = batch.find(i, DATA);
    const length = batch.valueLength(slot);
    const covered = batch.u64(i, ATTRIBUTES.unencodedFileLen.number);
    const decoded = batch.u64(i, ATTRIBUTES.unencodedLen.number);
    const offset = batch.u64(i, ATTRIBUTES.unencodedOffset.number);
    if (batch.u32(i, ATTRIBUTES.encryption.number) !== 0) return "is encrypted, which no kernel writes";
    if (named === undefined) return `has compression ${compression}, known are 1 to 7`;
    if (length > MAX_ENCODED_BYTES) return `has ${length} bytes of data, at most ${MAX_ENCODED_BYTES} are allowed`;
    if (decoded > BigInt(MAX_ENCODED_BYTES))
      return `says that it decodes to ${decoded} bytes, at most ${MAX_ENCODED_BYTES} are allowed`;
    if (offset + covered > decoded) return `covers ${covered} bytes from ${offset} of decoded data that has ${decoded}`;
    this.#count(compression, named.algorithm, named.sectorSize, length, Number(decoded), Number(covered));
    if (batch.isDecoded(i) && batch.segment.version >= BARE_DATA_VERSION) return undefined;
    const target = this.#room(length + 7);
    const row = target.count * ROW;
    const at = batch.valueAt(slot);
    // Alike in their words: see `decompressInPlace`.
    this.#used += (batch.bytes.byteOffset + at - this.#used) & 7;
    target.bytes.set(batch.bytes.subarray(at, at + length), this.#used);
    target.table[row + COMPRESSION] = compression;
    target.table[row + START] = this.#used;
    target.table[row + LENGTH] = length;
    target.table[row + DECODED] = Number(decoded);
    target.count++;
    this.#used += length;
    this.#note(batch, i, Number(offset + covered));
    return undefined;
  }

  /** Back-pressure: resolves when all full batches are decoded, or under way to that. @throws what a thread failed with. */
  async settle(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    while (this.#ready.length > 0) {
      await this.#threads?.turn();
      this.#handOut();
      const full = this.#ready.shift();
      if (full !== undefined) await this.#judge(await checkEncoded(full.batch), full.places);
    }
  }

  /** Resolves when all are decoded. */
  async finish(): Promise<void> {
    this.#dispatch();
    await this.settle();
    await Promise.all(this.#underway);
    await this.settle();
  }

  #count(
    compression: number,
    algorithm: string,
    sectorSize: number,
    stored: number,
    decoded: number,
    covered: number,
  ): void {
    const name = compression > ENCODED_LZO_4K ? `${algorithm} ${sectorSize}` : algorithm;
    this.byAlgorithm[name] ??= { count: 0, stored: 0, decoded: 0, covered: 0 };
    const sum = this.byAlgorithm[name];
    sum.count++;
    sum.stored += stored;
    sum.decoded += decoded;
    sum.covered += covered;
  }

  #room(length: number): EncodedBatch {
    const batch = this.#batch;
    const full =
      batch !== undefined &&
      (this.#used + length > batch.bytes.byteLength || (batch.count + 1) * ROW > batch.table.length);
    if (full) this.#dispatch();
    this.#batch ??= this.#idle.pop() ?? newEncodedBatch();
    return this.#batch;
  }

  #note(batch: CommandBatch, i: number, needed: number): void {
    const path = batch.value(i, PATH)!;
    if (!equalBytes(path, this.#path)) this.#path = path.slice();
    const from = batch.u64(i, ATTRIBUTES.fileOffset.number);
    const to = from + batch.u64(i, ATTRIBUTES.unencodedFileLen.number);
    this.#places.push({
      streamOffset: batch.streamOffset(i),
      commandIndex: batch.index(i),
      path: this.#path,
      from,
      to,
      needed,
    });
  }

  #dispatch(): void {
    const batch = this.#batch;
    if (batch === undefined || batch.count === 0) return;
    this.#ready.push({ batch, places: this.#places });
    this.#batch = undefined;
    this.#used = 0;
    this.#places = [];
    this.#handOut();
  }

  /** Gives the threads what they can take. */
  #handOut(): void {
    const threads = this.#threads;
    while (threads !== undefined && this.#ready.length > 0 && this.#underway.size < threads.capacity) {
      const { batch, places } = this.#ready.shift()!;
      const work = threads.check(batch).then((checked) => this.#judge(checked, places));
      const done: Promise<void> = work.then(
        () => void this.#underway.delete(done),
        (error) => {
          this.#failure ??= { error };
        },
      );
      this.#underway.add(done);
    }
  }

  async #judge(batch: EncodedBatch, places: readonly EncodedPlace[]): Promise<void> {
    for (let write = 0; write < batch.count; write++) {
      const row = write * ROW;
      const result = batch.table[row + RESULT]!;
      const place = places[write]!;
      if (result === BROKEN) this.#report(place, await whyBroken(batch, row));
      else if (result < place.needed) {
        this.#report(
          place,
          `Cannot decode encoded write: it gives ${result} bytes, its part of the file needs ${place.needed}`,
        );
      }
    }
    batch.count = 0;
    this.#idle.push(batch);
  }
}

/** Decodes once more, for the words. */
async function whyBroken(batch: EncodedBatch, row: number): Promise<string> {
  try {
    decodeRow(await loadCodecs(), batch, row);
  } catch (error) {
    if (error instanceof BtrfsError) return error.sentence;
    throw error;
  }
  return "Cannot decode encoded write: a second try succeeded, so this machine can't be trusted";
}
