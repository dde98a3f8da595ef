import { crc32cRaw } from "#checksum";
import { concatBytes, toBytes, viewOf } from "../../src/bytes/bytes.ts";

/** Streams put together by hand, so that they can be wrong in every way. */
export type Attribute = readonly [number: number, value: Uint8Array | string];

export function u64(value: bigint | number): Uint8Array {
  const bytes = new Uint8Array(8);
  viewOf(bytes).setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true);
  return bytes;
}

export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value >>> 0, true);
  return bytes;
}

export const time = (seconds: bigint | number, nanoseconds = 0): Uint8Array =>
  concatBytes([u64(seconds), u32(nanoseconds)]);

export const header = (version: number): Uint8Array => concatBytes([toBytes("btrfs-stream\0"), u32(version)]);

/** An attribute with the header that the version gives it. `claimed` overrides its length. */
export function attribute(version: number, [number, value]: Attribute, claimed?: number): Uint8Array {
  const bytes = toBytes(value);
  const head = new Uint8Array(number === 19 && version >= 2 ? 2 : 4);
  viewOf(head).setUint16(0, number, true);
  if (head.byteLength === 4) viewOf(head).setUint16(2, claimed ?? bytes.byteLength, true);
  return concatBytes([head, bytes]);
}

export function command(number: number, payload: Uint8Array): Uint8Array {
  const bytes = concatBytes([new Uint8Array(10), payload]);
  const view = viewOf(bytes);
  view.setUint32(0, payload.byteLength, true);
  view.setUint16(4, number, true);
  view.setUint32(6, crc32cRaw(0, bytes), true);
  return bytes;
}

export const commandOf = (version: number, number: number, attributes: readonly Attribute[]): Uint8Array =>
  command(number, concatBytes(attributes.map((each) => attribute(version, each))));

export const END = command(21, new Uint8Array(0));

export const stream = (version: number, ...commands: readonly Uint8Array[]): Uint8Array =>
  concatBytes([header(version), ...commands]);
