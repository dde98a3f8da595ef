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
