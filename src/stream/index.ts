export { ATTRIBUTES, type AttributeField, attributeField, attributeName, type Timespec } from "./attributes.ts";
export { CommandBatch, type Segment } from "./batch.ts";
export {
  COMMANDS,
  type Command,
  type CommandName,
  type CommandNamed,
  commandName,
  commandWord,
  MAX_COMMAND,
  type RawAttribute,
  type SegmentStart,
  type StreamItem,
  type UnknownCommand,
} from "./commands.ts";
export { decodeCommand } from "./decode.ts";
export type { ByteSink } from "./output.ts";
export { checkName, checkPath, MAX_NAME_BYTES, pathFault } from "./path.ts";
export { readBatches, readStream, type StreamOptions, type StreamProgress } from "./reader.ts";
export type { StreamFault } from "./recover.ts";
export type { BlockSource, PullSource, StreamInput } from "./source.ts";
export { DEFAULT_MAX_COMMAND_BYTES, MAX_STREAM_VERSION } from "./wire.ts";
export { StreamWriter, type StreamWriterOptions } from "./writer.ts";
