import { StreamError } from "../errors.ts";
import { ATTRIBUTES, type AttributeField, type AttributeType, attributeName, type Timespec } from "./attributes.ts";
import { attributesOf, COMMANDS, type Command, type CommandName, commandWord, type RawAttribute } from "./commands.ts";
import type { ChunkBuffer } from "./output.ts";
import { ATTRIBUTE_HEADER_BYTES, BARE_ATTRIBUTE_HEADER_BYTES, BARE_DATA_VERSION } from "./wire.ts";

/** Longest path in bytes that a kernel sends or takes: `PATH_MAX` without its NUL. */
export const MAX_PATH_BYTES = 4095;

const MAX_COUNTED_BYTES = 0xffff;
const MAX_U64 = 0xffff_ffff_ffff_ffffn;

type Entry = AttributeField | RawAttribute;

const PATHS: ReadonlySet<AttributeField> = new Set(["path", "pathTo", "pathLink", "clonePath"]);

/** By command number: the attributes in the kernel's order. */
const ORDERS: (readonly { readonly field: AttributeField; readonly required: boolean }[])[] = [];
for (const name of Object.keys(COMMANDS) as CommandName[]) ORDERS[COMMANDS[name].number] = attributesOf(name);

export function commandNumber(command: Command): number {
  return command.name === "unknown" ? command.number : COMMANDS[command.name].number;
}

/**
 * Appends the attributes of a command to `out`.
 *
 * @throws {StreamError} `unsupported` and `limit`, for what the version can't carry.
 * @throws {TypeError} for a needed attribute that is not there.
 * @throws {RangeError} for a number that does not fit its type.
 */
export function encodeAttributes(out: ChunkBuffer, command: Command, version: number): void {
  if (command.name === "unknown") {
    if (!isU16(command.number))
      throw new RangeError(`Cannot write command: number is ${command.number}, expected 16 bits`);
    for (const attribute of inOrder(command.attributes, version))
      encodeRaw(out, attribute as RawAttribute, command, version);
    return;
  }
  const { number, since } = COMMANDS[command.name];
  if (since > Math.max(version, 1))
    throw cannotWrite("unsupported", command, `version is ${version}, it needs ${since}`);
  const values = command as unknown as Readonly<Record<string, unknown>>;
  for (const { field, required } of ORDERS[number]!) {
    const value = values[field];
    if (value === undefined && required) {
      throw new TypeError(`Cannot write ${commandWord(number)}: ${field} is not given`);
    }
    if (value !== undefined && command.layout === undefined) encodeField(out, field, value, command, version);
  }
  if (command.layout === undefined) return;
  for (const entry of fullLayout(command.layout, ORDERS[number]!, version)) {
    if (typeof entry !== "string") encodeRaw(out, entry, command, version);
    else if (values[entry] !== undefined) encodeField(out, entry, values[entry], command, version);
  }
}

/** The layout, and fields that were set since it was read. */
function fullLayout(
  layout: readonly Entry[],
  order: readonly { field: AttributeField }[],
  version: number,
): readonly Entry[] {
  const added = order.map(({ field }) => field).filter((field) => !layout.includes(field));
  return inOrder([...layout, ...added], version);
}

/** From version 2 on DATA reaches to the end of the command, so it comes last. */
function inOrder(entries: readonly Entry[], version: number): readonly Entry[] {
  if (version < BARE_DATA_VERSION) return entries;
  const isData = (entry: Entry) =>
    typeof entry === "string" ? entry === "data" : entry.number === ATTRIBUTES.data.number;
  const data = entries.filter(isData);
  if (data.length > 1)
    throw new TypeError("Cannot write command: it has DATA twice, from version 2 on it can have one");
  return data.length === 0 ? entries : [...entries.filter((entry) => !isData(entry)), ...data];
}

function encodeRaw(out: ChunkBuffer, { number, value }: RawAttribute, command: Command, version: number): void {
  if (!isU16(number)) throw new RangeError(`Cannot write attribute: number is ${number}, expected 16 bits`);
  putHeader(out, number, value.byteLength, command, version);
  putBytes(out, value);
}

function encodeField(out: ChunkBuffer, field: AttributeField, value: unknown, command: Command, version: number): void {
  const { number, since, type } = ATTRIBUTES[field];
  if (since > Math.max(version, 1)) {
    throw cannotWrite("unsupported", command, `version is ${version}, ${attributeName(number)} needs ${since}`, number);
  }
  ENCODERS[type](out, number, value as never, command, version);
  if (PATHS.has(field) && (value as Uint8Array).byteLength > MAX_PATH_BYTES) {
    const sentence = `${attributeName(number)} has ${(value as Uint8Array).byteLength} bytes, at most ${MAX_PATH_BYTES} fit`;
    throw cannotWrite("limit", command, sentence, number);
  }
}

type Encoder<T> = (out: ChunkBuffer, number: number, value: T, command: Command, version: number) => void;

const putValue: Encoder<Uint8Array> = (out, number, value, command, version) => {
  putHeader(out, number, value.byteLength, command, version);
  putBytes(out, value);
};

const ENCODERS: { readonly [T in AttributeType]: Encoder<never> } = {
  u8: ((out, number, value, command, version) => {
    checkRange(number, value, 0xff);
    putHeader(out, number, 1, command, version);
    out.view.setUint8(out.used, value);
    out.used += 1;
  }) satisfies Encoder<number>,
  u32: ((out, number, value, command, version) => {
    checkRange(number, value, 0xffff_ffff);
    putHeader(out, number, 4, command, version);
    out.view.setUint32(out.used, value, true);
    out.used += 4;
  }) satisfies Encoder<number>,
  u64: ((out, number, value, command, version) => {
    if (value < 0n || value > MAX_U64) throw outOfRange(number, value, MAX_U64);
    putHeader(out, number, 8, command, version);
    out.view.setBigUint64(out.used, value, true);
    out.used += 8;
  }) satisfies Encoder<bigint>,
  uuid: ((out, number, value, command, version) => {
    if (value.byteLength !== 16) throw outOfRange(number, `${value.byteLength} bytes`, "16 bytes");
    putValue(out, number, value, command, version);
  }) satisfies Encoder<Uint8Array>,
  timespec: ((out, number, value, command, version) => {
    checkRange(number, value.nanoseconds, 0xffff_ffff);
    if (BigInt.asIntN(64, value.seconds) !== value.seconds) throw outOfRange(number, value.seconds, "64 bits");
    putHeader(out, number, 12, command, version);
    out.view.setBigInt64(out.used, value.seconds, true);
    out.view.setUint32(out.used + 8, value.nanoseconds, true);
    out.used += 12;
  }) satisfies Encoder<Timespec>,
  string: putValue,
  data: putValue,
};

/** Reserves room for the value too. */
function putHeader(out: ChunkBuffer, number: number, length: number, command: Command, version: number): void {
  out.reserve(ATTRIBUTE_HEADER_BYTES + length);
  out.view.setUint16(out.used, number, true);
  if (number === ATTRIBUTES.data.number && version >= BARE_DATA_VERSION) {
    out.used += BARE_ATTRIBUTE_HEADER_BYTES;
    return;
  }
  if (length > MAX_COUNTED_BYTES) {
    const sentence = `${attributeName(number)} has ${length} bytes, version ${version} carries at most ${MAX_COUNTED_BYTES}`;
    throw cannotWrite("limit", command, sentence, number);
  }
  out.view.setUint16(out.used + 2, length, true);
  out.used += ATTRIBUTE_HEADER_BYTES;
}

function putBytes(out: ChunkBuffer, value: Uint8Array): void {
  out.bytes.set(value, out.used);
  out.used += value.byteLength;
}

function isU16(number: number): boolean {
  return Number.isInteger(number) && number >= 0 && number <= 0xffff;
}

function checkRange(number: number, value: number, largest: number): void {
  if (!Number.isInteger(value) || value < 0 || value > largest) throw outOfRange(number, value, largest);
}

function outOfRange(number: number, value: unknown, largest: unknown): RangeError {
  return new RangeError(`Cannot write ${attributeName(number)}: value is ${value}, expected at most ${largest}`);
}

function cannotWrite(code: "limit" | "unsupported", command: Command, what: string, attribute?: number): StreamError {
  const word = commandWord(commandNumber(command));
  return new StreamError(code, `Cannot write ${word}: ${what}`, {
    where: { command: word, ...(attribute === undefined ? {} : { attribute: attributeName(attribute) }) },
  });
}
