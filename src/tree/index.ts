export { NodeCache } from "./cache.ts";
export { checkExpectation, checkNode, type NodeLimits } from "./check.ts";
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
