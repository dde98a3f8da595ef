export type { Compress } from "../codec/encoder.ts";
export type { ContentJob, ContentResult, ContentRunner } from "./content.ts";
export { type ContentHow, makeContentReader } from "./content-how.ts";
export type { SingleDeviceProfile } from "./layout.ts";
export { makeFilesystem } from "./mkfs.ts";
export type {
  MadeFilesystem,
  MakeOptions,
  MakeProgress,
  NewSubvolume as NewSubvolumeFrom,
  Reproducible,
} from "./options.ts";
export type {
  SourceFile as TreeSourceFile,
  SourceStat as TreeSourceStat,
  SourceTime as TreeSourceTime,
  SourceXattr as TreeSourceXattr,
  TreeSource,
} from "./source.ts";
