import type { Options } from "./options.ts";
import { FORMATS } from "./output.ts";

/** For commands that print a list. */
export const FORMAT_OPTION = {
  format: { long: "format", value: "FORMAT", choices: FORMATS, brief: "how to print (default: text)" },
} as const satisfies Options;

/** For commands that take long. */
export const PROGRESS_OPTION = {
  progress: {
    long: "progress",
    value: "HOW",
    optionalValue: true,
    brief: "progress also where there is no terminal; json: a line of JSON each",
  },
} as const satisfies Options;

const DEVICE = {
  device: { long: "device", value: "EXTRA", many: true, brief: "one more device of the filesystem (can be repeated)" },
} as const;
const PART = {
  partition: { long: "partition", value: "N", brief: "partition N of the disk image" },
  offset: { long: "offset", value: "BYTES", brief: "the filesystem begins at this byte of the image (K, M, G, T)" },
} as const;

/** Options of every command that opens an image to read. */
export const IMAGE_OPTIONS = {
  ...DEVICE,
  degraded: { long: "degraded", brief: "go on without devices that are missing" },
  ...PART,
} as const satisfies Options;

/** Options of every command that changes an image: all of its devices have to be there. */
export const WRITABLE_IMAGE_OPTIONS = { ...DEVICE, ...PART } as const satisfies Options;
