import type { Checksum } from "./checksum.ts";
import type { SharedMemory } from "./shared-memory.ts";

/** What `#checksum` gives on every host. */
export interface ChecksumSide {
  /**
   * The usual CRC-32C, as superblocks, tree blocks and data sectors carry it.
   *
   * @param previous The value of what came before, to go on from it.
   */
  crc32c(data: Uint8Array, previous?: number): number;
  /** CRC-32C without inversion at either end, as send streams and name hashes use it: a value is the next seed. */
  crc32cRaw(seed: number, data: Uint8Array): number;
  /**
   * `crc32cRaw` over `bytes[start, end)`, without a view: for many short records in one buffer.
   *
   * @throws {RangeError} when the range is not inside of `bytes`.
   */
  crc32cRawRange(seed: number, bytes: Uint8Array, start: number, end: number): number;
  /**
   * Zeros to read data into whose CRC-32C will be asked for: quicker than in an array of one's own. They can't be transferred to
   * another thread.
   */
  foldableBytes(byteLength: number): Uint8Array;
  /**
   * The bytes of `sharedMemory`, as foldable as those of `foldableBytes`.
   *
   * @param user Which of the two the caller is: they must not say the same.
   */
  foldableIn(memory: SharedMemory, user: 0 | 1): Uint8Array;
  crc32cRawCombine(first: number, second: number, secondLength: number): number;
  /** @throws {UnsupportedError} for a type that is not in `CHECKSUM_TYPES`. */
  loadChecksum(type: number): Promise<Checksum>;
}
