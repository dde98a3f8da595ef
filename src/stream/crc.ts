import { crc32cRawRange } from "#checksum";
import { CRC_TABLES } from "../checksum/crc32c.ts";
import { COMMAND_HEADER_BYTES } from "./wire.ts";

/**
 * What the `crc` field of the command at `at` should hold. Its own four bytes count as zeros.
 *
 * With seed 0 a CRC is linear, and table `n` says what a byte adds with `n` zeros behind it: so the header costs six lookups, not a loop.
 *
 * @param end Where to stop, if not behind the payload: the CRC of what follows goes on from there.
 */
export function commandCrc(
  bytes: Uint8Array,
  at: number,
  payloadLength: number,
  end = at + COMMAND_HEADER_BYTES + payloadLength,
): number {
  const T = CRC_TABLES;
  let header = T[9 * 256 + bytes[at]!]! ^ T[8 * 256 + bytes[at + 1]!]! ^ T[5 * 256 + bytes[at + 4]!]!;
  if (payloadLength > 0xffff) header ^= T[7 * 256 + bytes[at + 2]!]! ^ T[6 * 256 + bytes[at + 3]!]!;
  header ^= T[4 * 256 + bytes[at + 5]!]!;
  return crc32cRawRange(header >>> 0, bytes, at + COMMAND_HEADER_BYTES, end);
}
