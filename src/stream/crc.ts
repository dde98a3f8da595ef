import { crc32cRaw, crc32cRawRange } from "#checksum";
import { COMMAND_HEADER_BYTES } from "./wire.ts";

/** The bytes of a command header before its checksum: length and type. */
const COVERED_BYTES = 6;

/**
 * What each value of each of those bytes adds to the raw CRC of a header whose checksum is zeros. With seed 0 a CRC is linear, so the
 * header of a small command costs a few lookups, not a loop.
 */
const SHARES = new Int32Array(COVERED_BYTES * 256);
for (let at = 0; at < COVERED_BYTES; at++) {
  const header = new Uint8Array(COMMAND_HEADER_BYTES);
  for (let byte = 0; byte < 256; byte++) {
    header[at] = byte;
    SHARES[at * 256 + byte] = crc32cRaw(0, header);
  }
}

/** What the `crc` field of the command at `at` should hold. Its own four bytes count as zeros. */
export function commandCrc(bytes: Uint8Array, at: number, payloadLength: number): number {
  let header = SHARES[bytes[at]!]! ^ SHARES[256 + bytes[at + 1]!]! ^ SHARES[1024 + bytes[at + 4]!]!;
  if (payloadLength > 0xffff) header ^= SHARES[512 + bytes[at + 2]!]! ^ SHARES[768 + bytes[at + 3]!]!;
  header ^= SHARES[1280 + bytes[at + 5]!]!;
  const payload = at + COMMAND_HEADER_BYTES;
  return crc32cRawRange(header >>> 0, bytes, payload, payload + payloadLength);
}
