import type { Checksum } from "../checksum/checksum.ts";
import { allDone } from "../device/all-done.ts";
import type { ByteSource, Read } from "../device/source.ts";
import { BtrfsError } from "../errors.ts";
import type { SectorChecksums } from "./checksum-tree.ts";
import type { OnEvent } from "./events.ts";
import type { Mirror, Mirrors } from "./mirrors.ts";
import { placeIn } from "./raid.ts";
import { type Piece, Recovery } from "./recovery.ts";

export interface DataReadOptions {
  /** What each sector has to have; one that has none is bad. Left out for data without checksums: nothing verifies it. */
  readonly checksums?: SectorChecksums | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Hears of bad copies in place of the volume's own listener, to add path and file offset. */
  readonly onEvent?: OnEvent | undefined;
  /**
   * Takes what no copy has, in place of the first such failure ending the read: bytes of `target` from `at` on, which
   * are set to zero.
   */
  readonly onUnreadable?: ((at: number, length: number, error: BtrfsError) => void) | undefined;
}

/** Longer reads are left to the host's threads. */
const AT_ONCE_BYTES = 1 << 20;
/** A read at once that took longer had to wait for the device: so many bytes a millisecond, and as many milliseconds more. */
const CACHED_BYTES_A_MS = 1 << 20;
const PATIENCE_MS = 1;
/** So many reads after that one are not made at once. */
const READS_AFTER_WAITING = 64;

/** Data by logical address: verified, from whichever copy is good, straight into the caller's bytes. */
export class DataReader {
  readonly #mirrors: Mirrors;
  readonly #checksum: Checksum;
  readonly #sectorSize: number;
  readonly #onEvent: OnEvent;
  #readsToLeave = 0;

  constructor(mirrors: Mirrors, checksum: Checksum, sectorSize: number, onEvent: OnEvent) {
    this.#mirrors = mirrors;
    this.#checksum = checksum;
    this.#sectorSize = sectorSize;
    this.#onEvent = onEvent;
  }

  /**
   * Fills `target` from `logical` on. With checksums, both are in whole sectors.
   *
   * @throws {BtrfsError} for the first bytes that no copy has, unless `onUnreadable` takes them.
   */
  async read(logical: number, target: Uint8Array, options: DataReadOptions = {}): Promise<void> {
    const { checksums } = options;
    options.signal?.throwIfAborted();
    if (this.readNow(logical, target, checksums)) return;
    const pieces = this.#split(logical, target, checksums !== undefined);
    const failures = await this.#readFirst(pieces, options.signal);
    const sectors = { checksum: this.#checksum, checksums, size: this.#sectorSize };
    const recovery = new Recovery(this.#mirrors, sectors, { ...options, onEvent: options.onEvent ?? this.#onEvent });
    for (const piece of pieces) {
      const failure = failures?.get(piece);
      if (failure !== undefined) await recovery.afterFailure(piece, failure);
      else if (checksums !== undefined) await recovery.afterRead(piece);
    }
  }

  /**
   * Fills `target` without waiting, from the best mirrors. Where the host can't, or has lately been slow, or anything is
   * wrong, nothing is said of `target`: `read` will find out what it is.
   *
   * @returns Whether `target` has what it should.
   */
  readNow(logical: number, target: Uint8Array, checksums: SectorChecksums | undefined): boolean {
    if (checksums !== undefined) this.#checkAligned(logical, target, checksums);
    if (checksums?.present !== undefined || target.byteLength > AT_ONCE_BYTES) return false;
    if (this.#readsToLeave > 0) {
      this.#readsToLeave--;
      return false;
    }
    try {
      if (!this.#readAtOnce(this.#split(logical, target, checksums !== undefined))) return false;
    } catch (error) {
      if (!(error instanceof BtrfsError)) throw error;
      return false;
    }
    return checksums === undefined || this.#checksum.findBadSector(target, this.#sectorSize, checksums.values) < 0;
  }

  #readAtOnce(pieces: readonly Piece[]): boolean {
    for (const { mirrors, target } of pieces) {
      const [mirror] = mirrors;
      if (mirror?.kind !== "stored") return false;
      const source = this.#mirrors.devices.get(mirror.devid)?.source;
      if (source?.readSync === undefined) return false;
      const begun = performance.now();
      source.readSync(mirror.physical, target);
      const patience = PATIENCE_MS + target.byteLength / CACHED_BYTES_A_MS;
      if (performance.now() - begun > patience) this.#readsToLeave = READS_AFTER_WAITING;
    }
    return true;
  }

  #checkAligned(logical: number, target: Uint8Array, checksums: SectorChecksums): void {
    const sectors = target.byteLength / this.#sectorSize;
    if (logical % this.#sectorSize !== 0 || !Number.isInteger(sectors)) {
      throw new RangeError(`Cannot verify ${target.byteLength} bytes at ${logical}: sectors have ${this.#sectorSize}`);
    }
    if (checksums.values.byteLength !== sectors * this.#checksum.byteLength) {
      throw new RangeError(
        `Cannot verify ${sectors} sectors: there are ${checksums.values.byteLength} bytes of checksums`,
      );
    }
  }

  #split(logical: number, target: Uint8Array, verified: boolean): Piece[] {
    const pieces: Piece[] = [];
    for (let at = 0; at < target.byteLength; ) {
      const chunk = this.#mirrors.chunks.get(logical + at);
      const place = placeIn(chunk, logical + at);
      const length = Math.min(place.contiguous, target.byteLength - at);
      let mirrors = this.#mirrors.at(chunk, place, logical + at, length);
      if (mirrors.length > 1) mirrors = this.#inOrder(mirrors, verified);
      pieces.push({ logical: logical + at, at, mirrors, target: target.subarray(at, at + length) });
      at += length;
    }
    return pieces;
  }

  /**
   * Devices that missed commits come last: their bytes may be old, and where nothing verifies them that would not show.
   * Missing ones are left out.
   */
  #inOrder(mirrors: Mirror[], verified: boolean): Mirror[] {
    const there = mirrors.filter((mirror) => !this.#mirrors.isMissing(mirror));
    const rank = (mirror: Mirror): number => {
      const stale = this.#mirrors.staleness(mirror);
      return verified && mirror.kind === "rebuilt" ? stale + there.length : stale;
    };
    return there.sort((a, b) => rank(a) - rank(b));
  }

  /** Reads the best mirror of every piece, all at once; gives back what failed, and why. */
  async #readFirst(
    pieces: readonly Piece[],
    signal: AbortSignal | undefined,
  ): Promise<ReadonlyMap<Piece, BtrfsError> | undefined> {
    const failures = new Map<Piece, BtrfsError>();
    const batches = new Map<ByteSource, Piece[]>();
    const running: Promise<void>[] = [];
    for (const piece of pieces) {
      const mirror = piece.mirrors[0];
      const source = mirror?.kind === "stored" ? this.#mirrors.devices.get(mirror.devid)?.source : undefined;
      if (pieces.length === 1 || source?.readBatch === undefined) {
        running.push(this.#readOne(piece, failures, signal));
        continue;
      }
      const batch = batches.get(source);
      if (batch === undefined) batches.set(source, [piece]);
      else batch.push(piece);
    }
    for (const [source, batch] of batches) running.push(this.#readBatch(source, batch, failures, signal));
    await allDone(running);
    signal?.throwIfAborted();
    return failures.size === 0 ? undefined : failures;
  }

  async #readBatch(
    source: ByteSource,
    batch: readonly Piece[],
    failures: Map<Piece, BtrfsError>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const reads: Read[] = batch.map(({ mirrors, target }) => ({ at: mirrors[0]!.physical, target }));
    try {
      await source.readBatch!(reads);
    } catch (error) {
      if (!(error instanceof BtrfsError)) throw error;
      // Which of them failed? One by one tells.
      for (const piece of batch) await this.#readOne(piece, failures, signal);
    }
  }

  async #readOne(piece: Piece, failures: Map<Piece, BtrfsError>, signal: AbortSignal | undefined): Promise<void> {
    try {
      const mirror = piece.mirrors[0];
      if (mirror === undefined) {
        throw new BtrfsError("missing", "Cannot read: all devices that hold it are missing", {
          where: { logical: piece.logical },
        });
      }
      await this.#mirrors.read(mirror, piece.target, signal, false);
    } catch (error) {
      if (!(error instanceof BtrfsError)) throw error;
      failures.set(piece, error);
    }
  }
}
