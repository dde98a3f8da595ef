import { bytes, struct, u16, u32 } from "../bytes/struct.ts";

/** `BTRFS_SEND_STREAM_MAGIC`, with its NUL. */
export const STREAM_MAGIC = new TextEncoder().encode("btrfs-stream\0");

/** `struct btrfs_stream_header`. Nothing covers it with a checksum. */
export const StreamHeader = struct("btrfs_stream_header", 17, {
  magic: bytes(13),
  version: u32,
});

/** `struct btrfs_cmd_header`. */
export const CommandHeader = struct("btrfs_cmd_header", 10, {
  /** Bytes of payload that follow. */
  length: u32,
  type: u16,
  /** Raw CRC-32C (seed 0, not inverted) of this header with `crc` as zeros, then the payload. */
  crc: u32,
});

export const STREAM_HEADER_BYTES = StreamHeader.byteLength;
export const COMMAND_HEADER_BYTES = CommandHeader.byteLength;

/** Type and length of `struct btrfs_tlv_header`. From version 2 on DATA has the type alone, and reaches to the end of the payload. */
export const ATTRIBUTE_HEADER_BYTES = 4;
export const BARE_ATTRIBUTE_HEADER_BYTES = 2;

/** Versions that btrkit reads and writes. 0 is read as 1. */
export const MAX_STREAM_VERSION = 3;

/** The first version in which DATA carries no length. */
export const BARE_DATA_VERSION = 2;

/** Largest whole command that btrkit reads unless told otherwise, in bytes. Kernels stay below 192 KiB. */
export const DEFAULT_MAX_COMMAND_BYTES = 64 * 1024 * 1024;

/** Whether as much of the magic as fits in a command header stands at `at`. As a command it would be 1.6 GiB long. */
export function beginsLikeMagic(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < COMMAND_HEADER_BYTES; i++) if (bytes[at + i] !== STREAM_MAGIC[i]) return false;
  return true;
}
