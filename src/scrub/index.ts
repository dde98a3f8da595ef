export type { ScrubOptions } from "./job.ts";
export { type Finding, type FindingState, isClean, type Owner, type ScrubReport } from "./report.ts";
export { scrub } from "./scrub.ts";
