import { commandCrc } from "./crc.ts";
import { beginsLikeMagic, COMMAND_HEADER_BYTES, STREAM_HEADER_BYTES } from "./wire.ts";

/**
 * For threads that look at pieces of a stream out of turn: from the place of one command header follows the next one's, and a command
 * that lies whole in a piece can be checked right there. Positions count in `bytes`.
 */

/** Bytes of the command, or of the stream header, that begins at `at`; `COMMAND_HEADER_BYTES` of them must be there. */
export function frameBytes(bytes: Uint8Array, view: DataView, at: number): number {
  return beginsLikeMagic(bytes, at) ? STREAM_HEADER_BYTES : COMMAND_HEADER_BYTES + view.getUint32(at, true);
}

/** From the header at `at`, the first that isn't whole before `end`. It may lie far behind `end`. */
export function nextFrame(bytes: Uint8Array, view: DataView, at: number, end: number): number {
  let next = at;
  while (end - next >= COMMAND_HEADER_BYTES) next += frameBytes(bytes, view, next);
  return next;
}

/** Up to where commands follow each other from `at` on, whole before `end`, each with the right checksum. */
export function soundUpTo(bytes: Uint8Array, view: DataView, at: number, end: number): number {
  let next = at;
  while (end - next >= COMMAND_HEADER_BYTES) {
    const length = view.getUint32(next, true);
    const stop = next + COMMAND_HEADER_BYTES + length;
    if (stop > end || commandCrc(bytes, next, length) !== view.getUint32(next + 6, true)) break;
    next = stop;
  }
  return next;
}
