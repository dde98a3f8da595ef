export type { Packer } from "../edit/pack.ts";
export { CommandError } from "./command-error.ts";
export { decodeWrite, type EncodedFields, encodedFields, newDecodeBuffer } from "./decode-write.ts";
export { type DumpOptions, dumpStream } from "./dump.ts";
export { EncodedTally } from "./encoded-tally.ts";
export { ImageTarget, type ImageTargetOptions } from "./image-target.ts";
export { deleteUnfinishedInImage, type UnfinishedInImage, unfinishedInImage } from "./image-unfinished.ts";
export { commandToJson } from "./json-lines.ts";
export { type TimeZone, UTC, type ZoneSpan } from "./local-time.ts";
export { type ReceiveEvent, type ReceiveOptions, type ReceiveSummary, receive } from "./receive.ts";
export {
  type CommandHandlers,
  oneByOne,
  parentMissing,
  type ReceiveTarget,
  type Report,
  type SubvolumeStart,
  type Unfinished,
} from "./target.ts";
