import { constants } from "node:fs";
import { BtrfsError } from "../../errors.ts";
import { ATTRIBUTES, type AttributeField } from "../../stream/attributes.ts";
import type { CommandBatch } from "../../stream/batch.ts";
import { commandName } from "../../stream/commands.ts";

// What commands say, as the kernel's calls want it.

export const number = (field: AttributeField): number => ATTRIBUTES[field].number;

const PATH = number("path");

/** Of what is made under a temporary name: nobody else has business with it. */
export const FILE_MODE = 0o600;

/** Type and first mode of MKNOD, MKFIFO and MKSOCK. */
export function nodeMode(batch: CommandBatch, i: number): number {
  const name = commandName(batch.type(i));
  if (name === "mkfifo") return constants.S_IFIFO | FILE_MODE;
  if (name === "mksock") return constants.S_IFSOCK | FILE_MODE;
  return (batch.u32(i, number("mode")) & constants.S_IFMT) | FILE_MODE;
}

/** Device number of MKNOD; 0 of the others. @throws {BtrfsError} `limit`. */
export function deviceOf(batch: CommandBatch, i: number): number {
  if (commandName(batch.type(i)) !== "mknod") return 0;
  const device = batch.u64(i, number("rdev"));
  if (device <= 0xffff_ffffn) return Number(device);
  throw new BtrfsError("limit", `Cannot make device: its number is ${device}, 32 bits were expected`);
}

/** @throws {BtrfsError} `limit` for what is no id: all ones would mean "leave it". */
export function id(batch: CommandBatch, i: number, field: "uid" | "gid"): number {
  const value = batch.u64(i, number(field));
  if (value < 0xffff_ffffn) return Number(value);
  throw new BtrfsError("limit", `Cannot change owner: ${field} is ${value}, less than 4294967295 was expected`);
}

export function timeAt(batch: CommandBatch, i: number, field: "atime" | "mtime"): { sec: bigint; nsec: number } {
  const at = batch.valueAt(batch.find(i, number(field)));
  return { sec: batch.view.getBigInt64(at, true), nsec: batch.view.getUint32(at + 8, true) };
}

/** Bytes of commands `first` up to `end` in the stream. */
export function bytesOf(batch: CommandBatch, first: number, end: number): number {
  return batch.payloadAt(end - 1) + batch.payloadLength(end - 1) - batch.headerAt(first);
}

/** Whether two commands are about the same path. */
export function isSamePath(batch: CommandBatch, a: number, b: number): boolean {
  const [slotA, slotB] = [batch.find(a, PATH), batch.find(b, PATH)];
  const length = batch.valueLength(slotA);
  if (batch.valueLength(slotB) !== length) return false;
  const [atA, atB] = [batch.valueAt(slotA), batch.valueAt(slotB)];
  for (let n = 0; n < length; n++) if (batch.bytes[atA + n] !== batch.bytes[atB + n]) return false;
  return true;
}
