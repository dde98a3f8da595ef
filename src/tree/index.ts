export { NodeCache } from "./cache.ts";
export { checkExpectation, checkNode } from "./check.ts";
export * from "./hash.ts";
export type { NodeLimits } from "./limits.ts";
export type {
  BlockTree,
  LeafSpan,
  LeavesOptions,
  LogicalSource,
  NodeExpectation,
  Tree,
  TreeRoot,
} from "./source.ts";
export { NodeTree } from "./tree.ts";
export { LeafWalk } from "./walk.ts";
