export {
  type EncodedExtent,
  type EncodedExtentsOptions,
  encodedExtents,
  encodedExtentsOf,
  type OnUnreadableExtent,
  type SubvolumeExtentsOptions,
} from "./extents.ts";
export { type EncodedAnswer, encodedCompression, encodedReader } from "./read.ts";
export { encodedWriter, writeEncoded } from "./write.ts";
