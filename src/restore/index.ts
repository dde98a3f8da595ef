export type { RestoreJob, RestoreResult } from "./batch.ts";
export { findMatches, lastName, type OnLostMatch } from "./glob.ts";
export type { RestoreRunner } from "./jobs.ts";
export type { RestoreProgress } from "./log.ts";
export type { ProblemKind, RestoreCounts, RestoreProblem, RestoreSummary } from "./report.ts";
export { type LostSource, type RestoreOptions, type RestoreSource, restore } from "./restore.ts";
export { Restorer, type RestorerOptions } from "./restorer.ts";
export { type Handle, type NodeKind, type RestoreTarget, TargetError } from "./target.ts";
