import { CorruptError } from "../errors.ts";
import { itemWhere, type NodeBlock } from "../format/node.ts";

/** `problem` says what is there and what was expected. */
export function failNode(node: NodeBlock, problem: string): never {
  throw new CorruptError(`Cannot trust node: ${problem}`, node.where);
}

export function failItem(node: NodeBlock, slot: number, problem: string): never {
  throw new CorruptError(`Cannot trust node: ${problem}`, itemWhere(node, slot));
}
