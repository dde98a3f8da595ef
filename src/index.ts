export { formatUuid, parseUuid } from "./bytes/uuid.ts";
export { BlobDevice } from "./device/blob.ts";
export { MemoryDevice } from "./device/memory.ts";
export type { ByteSource, ByteStore } from "./device/source.ts";
export * from "./errors.ts";
export * from "./fs/index.ts";
export * from "./usage/index.ts";
export * from "./verify/index.ts";
export type { OnEvent, VolumeEvent, WarningTopic } from "./volume/events.ts";
