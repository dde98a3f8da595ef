import { ALL_KEYS, comparePackedKeys, type KeyRange, packKey } from "../format/key.ts";
import { childGeneration, childLogical, keyAt, lowerBound, type NodeBlock } from "../format/node.ts";
import { ChildExpectation, childSlot } from "./child.ts";
import type { LeafSpan, LeavesOptions, LogicalSource } from "./source.ts";
import { turnIfDue } from "./turn.ts";

/** Sibling leaves that are announced to the source ahead of the one that is wanted. */
const READ_AHEAD = 32;

/** An inner node on the way down, and the next of its children. */
interface Step {
  readonly node: NodeBlock;
  readonly expect: ChildExpectation | undefined;
  slot: number;
  /** Children before this slot have been announced. */
  announced: number;
}

/**
 * The leaves of a range, one after the other.
 *
 * Each child begins with its pointer's key and ends below the next pointer's, so a walk sees keys that only grow:
 * it ends, and visits no node twice, whatever the pointers say.
 */
export class LeafWalk {
  readonly #source: LogicalSource;
  readonly #owner: bigint;
  readonly #first: DataView;
  readonly #last: DataView | undefined;
  readonly #minGeneration: number;
  readonly #signal: AbortSignal | undefined;
  readonly #path: Step[] = [];
  #ready: NodeBlock | undefined;

  constructor(
    source: LogicalSource,
    owner: bigint,
    root: NodeBlock,
    range: KeyRange = ALL_KEYS,
    options: LeavesOptions = {},
  ) {
    this.#source = source;
    this.#owner = owner;
    this.#first = packKey(range.first);
    this.#last = range.last === undefined ? undefined : packKey(range.last);
    this.#minGeneration = options.minGeneration ?? 0;
    this.#signal = options.signal;
    if (root.generation >= this.#minGeneration) this.#enter(root, undefined);
  }

  /**
   * The next items, or `undefined` at the end. A promise only where a node has to be read, so a loop over cached nodes
   * need not wait, or where who may abort has to be heard; don't call again before it has settled.
   */
  next(): LeafSpan | undefined | Promise<LeafSpan | undefined> {
    if (this.#signal === undefined) return this.#next();
    this.#signal.throwIfAborted();
    const turn = turnIfDue();
    return turn === undefined ? this.#next() : turn.then(() => this.next());
  }

  #next(): LeafSpan | undefined | Promise<LeafSpan | undefined> {
    for (;;) {
      const span = this.#takeLeaf();
      if (span !== undefined) return span;
      const step = this.#path.at(-1);
      if (step === undefined) return undefined;
      const slot = this.#nextChild(step);
      if (slot === undefined) {
        this.#path.pop();
        continue;
      }
      const expect = new ChildExpectation(step.node, slot, this.#owner, step.expect);
      const logical = childLogical(step.node, slot);
      const child = this.#source.cached(logical, expect) ?? this.#source.readNow?.(logical, expect);
      if (child === undefined) {
        this.#announce(step);
        return this.#read(logical, expect);
      }
      expect.check(child);
      this.#enter(child, expect);
    }
  }

  async #read(logical: number, expect: ChildExpectation): Promise<LeafSpan | undefined> {
    const child = await this.#source.readNode(logical, expect);
    expect.check(child);
    this.#enter(child, expect);
    return this.next();
  }

  #enter(node: NodeBlock, expect: ChildExpectation | undefined): void {
    if (node.level === 0) this.#ready = node;
    else this.#path.push({ node, expect, slot: childSlot(node, this.#first), announced: 0 });
  }

  #takeLeaf(): LeafSpan | undefined {
    const leaf = this.#ready;
    if (leaf === undefined) return undefined;
    this.#ready = undefined;
    const first = lowerBound(leaf, this.#first);
    const last = this.#last === undefined ? leaf.count : lowerBound(leaf, this.#last);
    return first < last ? { leaf, first, last } : undefined;
  }

  /** Takes the next child that is in the range and new enough. */
  #nextChild(step: Step): number | undefined {
    const { node } = step;
    for (; step.slot < node.count && this.#begins(node, step.slot); step.slot++) {
      if (childGeneration(node, step.slot) >= this.#minGeneration) return step.slot++;
    }
    return undefined;
  }

  /** Whether the child in `slot` begins before the range ends. */
  #begins(node: NodeBlock, slot: number): boolean {
    return this.#last === undefined || comparePackedKeys(node.view, keyAt(node, slot), this.#last, 0) < 0;
  }

  #announce(step: Step): void {
    const { node } = step;
    if (this.#source.prefetch === undefined || step.slot < step.announced) return;
    const logicals: number[] = [];
    let slot = step.slot;
    for (; slot < node.count && logicals.length < READ_AHEAD && this.#begins(node, slot); slot++) {
      if (childGeneration(node, slot) >= this.#minGeneration) logicals.push(childLogical(node, slot));
    }
    step.announced = slot;
    if (logicals.length > 0) this.#source.prefetch(logicals);
  }
}
