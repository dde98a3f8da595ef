export type { SectorChecksums } from "./checksum-tree.ts";
export type { Chunk, ChunkStripe } from "./chunk-map.ts";
export type { DataReadOptions } from "./data-reader.ts";
export type { VolumeDevice } from "./devices.ts";
export type { OnEvent, VolumeEvent, WarningTopic } from "./events.ts";
export type { Mirror } from "./mirrors.ts";
export { openVolume, type VolumeOptions } from "./open.ts";
export { type BackupRoot, backupRoots } from "./roots.ts";
export {
  checkSuperblock,
  metadataUuid,
  readSuperblock,
  readSuperblockCopies,
  type SuperblockCopy,
  type SuperblockView,
} from "./superblock.ts";
export type { Volume } from "./volume.ts";
