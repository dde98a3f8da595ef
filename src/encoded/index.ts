export { type EncodedExtent, type EncodedExtentsOptions, encodedExtents } from "./extents.ts";
export { type EncodedAnswer, encodedCompression, encodedReader } from "./read.ts";
