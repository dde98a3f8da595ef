export { type CloneSource, cloneRange } from "./clone.ts";
export type { Algorithm } from "./content.ts";
export * from "./directory.ts";
export { truncateFile, writeFile } from "./file.ts";
export { preallocate, punchHole } from "./holes.ts";
export { type AttributeChanges, type InodeAttributes, setAttributes } from "./inode.ts";
export { findName, getName, type NamedEntry } from "./names.ts";
export type { Place } from "./place.ts";
export { removePlaceholder } from "./placeholder.ts";
export type { WriteOptions } from "./sectors.ts";
export {
  createSubvolume,
  type DeleteOptions,
  defaultSubvolume,
  deleteSubvolume,
  type NewSnapshot,
  type NewSubvolume,
  type Received,
  setDefaultSubvolume,
  setReadOnly,
  setReceived,
  snapshotSubvolume,
} from "./subvolume.ts";
export { dropCapability, removeXattr, setXattr } from "./xattr.ts";
