export { type AttributeChanges, setAttributes } from "./attributes.ts";
export { type CloneSource, cloneRange } from "./clone.ts";
export type { Algorithm } from "./content.ts";
export {
  createFile,
  makeDirectory,
  makeSpecial,
  makeSymlink,
  type SpecialFile,
} from "./create.ts";
export { link, removeDirectory, unlink } from "./directory.ts";
export { truncateFile, writeFile } from "./file.ts";
export { preallocate, punchHole } from "./holes.ts";
export type { InodeAttributes, NewInode } from "./inode.ts";
export { findName, getName, type NamedEntry } from "./names.ts";
export type { Place } from "./place.ts";
export { removePlaceholder } from "./placeholder.ts";
export { rename } from "./rename.ts";
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
