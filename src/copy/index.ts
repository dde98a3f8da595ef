export { Batches, type BatchOptions } from "./batches.ts";
export { Copier, type CopyDirectory, type CopyTarget } from "./copier.ts";
export { ImageSource } from "./image-source.ts";
export type { CopyCounts, CopyOptions, CopyProblem } from "./options.ts";
export { type RemoveOptions, Remover } from "./remover.ts";
export { SourceError, type SourceNode, type SourceStat, type Stretch } from "./source.ts";
