import type { NodeBlock } from "../format/node.ts";
import type { LogicalSource, NodeExpectation } from "../tree/source.ts";
import type { NodeStamp } from "./new-node.ts";

/** The tree blocks that a transaction made, in front of those of the last commit. None is written before the commit. */
export class Nodes implements LogicalSource {
  readonly stamp: NodeStamp;
  readonly #dirty = new Map<number, NodeBlock>();
  readonly #committed: LogicalSource;

  constructor(stamp: NodeStamp, committed: LogicalSource) {
    this.stamp = stamp;
    this.#committed = committed;
  }

  /** All that were made and not dropped. */
  get dirty(): ReadonlyMap<number, NodeBlock> {
    return this.#dirty;
  }

  isDirty(logical: number): boolean {
    return this.#dirty.has(logical);
  }

  add(node: NodeBlock): void {
    this.#dirty.set(node.logical, node);
  }

  /** Forgets a block that nothing leads to any more. */
  drop(logical: number): void {
    this.#dirty.delete(logical);
  }

  cached(logical: number, expect: NodeExpectation): NodeBlock | undefined {
    return this.#dirty.get(logical) ?? this.#committed.cached(logical, expect);
  }

  async readNode(logical: number, expect: NodeExpectation): Promise<NodeBlock> {
    return this.#dirty.get(logical) ?? (await this.#committed.readNode(logical, expect));
  }

  readNow(logical: number, expect: NodeExpectation): NodeBlock | undefined {
    return this.#dirty.get(logical) ?? this.#committed.readNow?.(logical, expect);
  }

  prefetch(logicals: readonly number[]): void {
    this.#committed.prefetch?.(logicals.filter((logical) => !this.#dirty.has(logical)));
  }
}
