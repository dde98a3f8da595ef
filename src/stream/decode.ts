import { ATTRIBUTES, type AttributeField, type AttributeType, attributeField, type Timespec } from "./attributes.ts";
import type { CommandBatch } from "./batch.ts";
import { attributesOf, COMMANDS, type Command, type CommandName, commandName, type RawAttribute } from "./commands.ts";

type Reader = (batch: CommandBatch, slot: number) => bigint | number | Timespec | Uint8Array;

const bytesAt: Reader = (batch, slot) => {
  const at = batch.valueAt(slot);
  return batch.bytes.subarray(at, at + batch.valueLength(slot));
};

const READERS: Readonly<Record<AttributeType, Reader>> = {
  u8: (batch, slot) => batch.view.getUint8(batch.valueAt(slot)),
  u32: (batch, slot) => batch.view.getUint32(batch.valueAt(slot), true),
  u64: (batch, slot) => batch.view.getBigUint64(batch.valueAt(slot), true),
  timespec: (batch, slot) => ({
    seconds: batch.view.getBigInt64(batch.valueAt(slot), true),
    nanoseconds: batch.view.getUint32(batch.valueAt(slot) + 8, true),
  }),
  uuid: bytesAt,
  string: bytesAt,
  data: bytesAt,
};

interface Step {
  readonly field: AttributeField;
  readonly number: number;
  readonly required: boolean;
  readonly read: Reader;
}

/** By command number: what to read, in the kernel's order. */
const PLANS: (readonly Step[])[] = [];
for (const name of Object.keys(COMMANDS) as CommandName[]) {
  PLANS[COMMANDS[name].number] = attributesOf(name).map(({ field, required }) => {
    const { number, type } = ATTRIBUTES[field];
    return { field, number, required, read: READERS[type] };
  });
}

/** Command `i` of a batch as an object. Its bytes are views, lent like the batch. */
export function decodeCommand(batch: CommandBatch, i: number): Command {
  const type = batch.type(i);
  const name = commandName(type);
  if (name === undefined) return { name: "unknown", number: type, attributes: rawAttributes(batch, i) };
  const command: Record<string, unknown> = { name };
  const stop = batch.firstSlot(i + 1);
  let slot = batch.firstSlot(i);
  for (const { field, number, required, read } of PLANS[type]!) {
    if (slot < stop && batch.slotAttribute(slot) === number) command[field] = read(batch, slot++);
    else if (required) return decodeUnusual(batch, i, name);
  }
  return slot === stop ? (command as unknown as Command) : decodeUnusual(batch, i, name);
}

/** Attributes in another order than the kernel's, repeated, or not of this command. Of several the last one counts, as in `btrfs receive`. */
function decodeUnusual(batch: CommandBatch, i: number, name: CommandName): Command {
  const command: Record<string, unknown> = { name };
  for (const { field, number, read } of PLANS[COMMANDS[name].number]!) {
    const slot = batch.find(i, number);
    if (slot >= 0) command[field] = read(batch, slot);
  }
  const layout: (AttributeField | RawAttribute)[] = [];
  for (let slot = batch.firstSlot(i); slot < batch.firstSlot(i + 1); slot++) {
    const number = batch.slotAttribute(slot);
    const field = attributeField(number);
    const counts = field !== undefined && field in command && batch.find(i, number) === slot;
    layout.push(counts ? field : rawAttribute(batch, slot));
  }
  command.layout = layout;
  return command as unknown as Command;
}

function rawAttributes(batch: CommandBatch, i: number): RawAttribute[] {
  const attributes: RawAttribute[] = [];
  for (let slot = batch.firstSlot(i); slot < batch.firstSlot(i + 1); slot++) attributes.push(rawAttribute(batch, slot));
  return attributes;
}

function rawAttribute(batch: CommandBatch, slot: number): RawAttribute {
  return { number: batch.slotAttribute(slot), value: bytesAt(batch, slot) as Uint8Array };
}
