import type { Checksum } from "../checksum/checksum.ts";
import { BtrfsError, CorruptError } from "../errors.ts";
import type { SectorChecksums } from "./checksum-tree.ts";
import type { OnEvent } from "./events.ts";
import { type Mirror, type Mirrors, partOf } from "./mirrors.ts";
import { noneGood } from "./node-reader.ts";

/** A part of a read that lies within one stripe. */
export interface Piece {
  /** Logical address. */
  readonly logical: number;
  /** Byte of the whole read at which it begins. */
  readonly at: number;
  /** Ways to read it, best first. */
  readonly mirrors: readonly Mirror[];
  readonly target: Uint8Array;
}

/** What the sectors of a read have to be. */
export interface Sectors {
  readonly checksum: Checksum;
  readonly checksums: SectorChecksums | undefined;
  /** Bytes. */
  readonly size: number;
}

interface RecoveryOptions {
  readonly onEvent: OnEvent;
  readonly onUnreadable?: ((at: number, length: number, error: BtrfsError) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Takes bytes that the best mirror does not have from the next ones, sector by sector where it must. */
export class Recovery {
  readonly #mirrors: Mirrors;
  readonly #sectors: Sectors;
  readonly #options: RecoveryOptions;

  constructor(mirrors: Mirrors, sectors: Sectors, options: RecoveryOptions) {
    this.#mirrors = mirrors;
    this.#sectors = sectors;
    this.#options = options;
  }

  /** The first mirror of `piece` has been read: verifies it, and recovers what is bad. */
  async afterRead(piece: Piece): Promise<void> {
    await this.#judge(piece, 0, piece.target.byteLength, 0, []);
  }

  /** The first mirror of `piece` could not be read. */
  async afterFailure(piece: Piece, error: BtrfsError): Promise<void> {
    await this.#failed(piece, 0, piece.target.byteLength, 0, [], error);
  }

  /** Bytes `start` to `end` of the piece are as mirror `index` has them. */
  async #judge(piece: Piece, start: number, end: number, index: number, errors: BtrfsError[]): Promise<void> {
    for (let from = start; from < end; ) {
      const [badStart, badEnd] = this.#nextBad(piece, from, end);
      if (index > 0 && badStart > from) this.#tellRecovered(piece, from, badStart, index);
      if (badStart < badEnd) await this.#wrong(piece, badStart, badEnd, index, errors);
      from = badEnd;
    }
  }

  async #wrong(piece: Piece, start: number, end: number, index: number, errors: BtrfsError[]): Promise<void> {
    const mirror = partOf(piece.mirrors[index]!, start, end - start);
    if (this.#sectors.checksums?.present?.[(piece.at + start) / this.#sectors.size] === 0) {
      const where = { logical: mirror.logical };
      const error = new CorruptError("Cannot trust data: it has no checksum", where, { code: "checksum" });
      return this.#unreadable(piece, start, end, [error]);
    }
    const error = new CorruptError(
      `Cannot trust data: its ${this.#sectors.checksum.name} checksum does not match`,
      this.#mirrors.where(mirror),
      { code: "checksum" },
    );
    this.#tellBad(mirror, error);
    await this.#next(piece, start, end, index + 1, [...errors, error]);
  }

  async #failed(
    piece: Piece,
    start: number,
    end: number,
    index: number,
    errors: BtrfsError[],
    error: BtrfsError,
  ): Promise<void> {
    const { size } = this.#sectors;
    if (end - start > size && (error.code === "io" || error.code === "truncated")) {
      // A few bytes that can't be read must not cost the others.
      for (let at = start; at < end; at += size) await this.#next(piece, at, Math.min(at + size, end), index, errors);
      return;
    }
    const mirror = piece.mirrors[index];
    if (mirror?.kind === "stored") this.#tellBad(partOf(mirror, start, end - start), error);
    await this.#next(piece, start, end, index + 1, [...errors, error]);
  }

  /** Reads bytes `start` to `end` of the piece from mirror `index`. */
  async #next(piece: Piece, start: number, end: number, index: number, errors: BtrfsError[]): Promise<void> {
    const mirror = piece.mirrors[index];
    if (mirror === undefined) return this.#unreadable(piece, start, end, errors);
    try {
      const part = partOf(mirror, start, end - start);
      await this.#mirrors.read(part, piece.target.subarray(start, end), this.#options.signal, false);
    } catch (error) {
      if (!(error instanceof BtrfsError)) throw error;
      return this.#failed(piece, start, end, index, errors, error);
    }
    if (this.#sectors.checksums !== undefined) await this.#judge(piece, start, end, index, errors);
    else if (index > 0) this.#tellRecovered(piece, start, end, index);
  }

  /** First run of bad sectors in bytes `from` to `end` of the piece; empty, at `end`, when all are good. */
  #nextBad(piece: Piece, from: number, end: number): [start: number, end: number] {
    const { checksum, checksums, size } = this.#sectors;
    const { values, present } = checksums!;
    const data = piece.target.subarray(from, end);
    const first = (piece.at + from) / size;
    const count = data.byteLength / size;
    const verified = checksum.findBadSector(data, size, values, first * checksum.byteLength);
    const absent = present === undefined ? -1 : present.subarray(first, first + count).indexOf(0);
    if (verified < 0 && absent < 0) return [end, end];
    if (absent >= 0 && (verified < 0 || absent <= verified)) {
      let last = absent + 1;
      while (last < count && present![first + last] === 0) last++;
      return [from + absent * size, from + last * size];
    }
    let last = verified + 1;
    const isBad = (sector: number): boolean =>
      present?.[first + sector] !== 0 &&
      !checksum.verify(
        data.subarray(sector * size, (sector + 1) * size),
        values,
        (first + sector) * checksum.byteLength,
      );
    while (last < count && isBad(last)) last++;
    return [from + verified * size, from + last * size];
  }

  #unreadable(piece: Piece, start: number, end: number, errors: readonly BtrfsError[]): void {
    const logical = piece.logical + start;
    const error = noneGood(errors, logical);
    const where = { ...error.where, logical };
    this.#options.onEvent({ kind: "unreadable", content: "data", where, lengthBytes: end - start, error });
    if (this.#options.onUnreadable === undefined) throw error;
    piece.target.fill(0, start, end);
    this.#options.onUnreadable(piece.at + start, end - start, error);
  }

  #tellBad(mirror: Mirror, error: BtrfsError): void {
    if (mirror.kind === "rebuilt") return;
    const where = this.#mirrors.where(mirror);
    this.#options.onEvent({ kind: "bad-copy", content: "data", where, lengthBytes: mirror.lengthBytes, error });
  }

  #tellRecovered(piece: Piece, start: number, end: number, index: number): void {
    const mirror = partOf(piece.mirrors[index]!, start, end - start);
    const where = this.#mirrors.where(mirror);
    const rebuilt = mirror.kind === "rebuilt";
    this.#options.onEvent({ kind: "recovered", content: "data", where, lengthBytes: end - start, rebuilt });
  }
}
