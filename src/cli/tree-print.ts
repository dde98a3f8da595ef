import { BtrfsError } from "../errors.ts";
import { describeItem, type ItemSizes } from "../format/describe/item.ts";
import { describeKey } from "../format/describe/value.ts";
import { formatKey } from "../format/key.ts";
import {
  childGeneration,
  childLogical,
  HEADER_BYTES,
  itemSize,
  itemStart,
  type NodeBlock,
  slotKey,
} from "../format/node.ts";
import { treeName } from "../format/objectid.ts";
import type { ListedTree } from "../volume/trees.ts";
import { describedJson, describedLines, jsonNumber } from "./described.ts";
import type { Output } from "./output.ts";
import { Records } from "./records.ts";

/** Prints trees as they come. */
export interface TreePrinter {
  tree(tree: ListedTree): Promise<void> | undefined;
  /** Gives the number of items that could not be decoded. */
  block(tree: ListedTree, node: NodeBlock): Promise<number>;
  fault(tree: ListedTree | undefined, fault: BtrfsError): Promise<void> | undefined;
  end(): Promise<void> | undefined;
}

export function treePrinter(out: Output, format: string, sizes: ItemSizes): TreePrinter {
  if (format === "text") return new TextPrinter(out, sizes);
  return new JsonPrinter(new Records(out, format === "json" ? "json" : "jsonl", "inspect-tree"), sizes);
}

class TextPrinter implements TreePrinter {
  readonly #out: Output;
  readonly #sizes: ItemSizes;

  constructor(out: Output, sizes: ItemSizes) {
    this.#out = out;
    this.#sizes = sizes;
  }

  end(): undefined {}

  tree({ id, logical, level, generation, offset }: ListedTree) {
    return this.#out.line(
      `tree ${treeWords(id)}, root item offset ${offset}, root at ${logical}, level ${level}, generation ${generation}`,
    );
  }

  fault(_tree: ListedTree | undefined, fault: BtrfsError) {
    return this.#out.line(`  damaged, passed over: ${fault.message}`);
  }

  async block(tree: ListedTree, node: NodeBlock): Promise<number> {
    const { logical, level, generation, owner, count } = node;
    const kind = level === 0 ? `leaf ${logical}, ${count} items` : `node ${logical}, level ${level}, ${count} children`;
    await this.#out.line(`  ${kind}, generation ${generation}, owner ${treeName(owner)}`);
    let faults = 0;
    for (let slot = 0; slot < count; slot++) {
      const key = formatKey(slotKey(node, slot));
      if (level > 0) {
        await this.#out.line(
          `    key ${key} block ${childLogical(node, slot)} generation ${childGeneration(node, slot)}`,
        );
        continue;
      }
      const at = itemStart(node, slot) - HEADER_BYTES;
      await this.#out.line(`    item ${slot} key ${key} offset ${at} size ${itemSize(node, slot)}`);
      try {
        for (const line of describedLines(describeItem(node, slot, this.#sizes), "      ")) await this.#out.line(line);
      } catch (error) {
        if (!(error instanceof BtrfsError)) throw error;
        await this.fault(tree, error);
        faults++;
      }
    }
    return faults;
  }
}

/** The same objects for both formats. */
class JsonPrinter implements TreePrinter {
  readonly #records: Records;
  readonly #sizes: ItemSizes;

  constructor(records: Records, sizes: ItemSizes) {
    this.#records = records;
    this.#sizes = sizes;
  }

  end() {
    return this.#records.end();
  }

  tree({ id, logical, level, generation, offset }: ListedTree) {
    const root = { root: logical, level, generation, offset: jsonNumber(offset) };
    return this.#records.add({ kind: "tree", ...treeJson(id), ...root });
  }

  fault(tree: ListedTree | undefined, { sentence, where }: BtrfsError) {
    const place = { logical: where.logical ?? null, device: where.device ?? null, physical: where.physical ?? null };
    return this.#records.add({
      kind: "damaged",
      ...(tree === undefined ? {} : treeJson(tree.id)),
      ...place,
      error: sentence,
    });
  }

  async block(tree: ListedTree, node: NodeBlock): Promise<number> {
    const { logical, level, generation, owner, count } = node;
    const head = { ...treeJson(tree.id), logical, level, generation, owner: jsonNumber(owner) };
    if (level > 0) {
      const children = Array.from({ length: count }, (_, slot) => ({
        key: describedJson(describeKey(slotKey(node, slot))),
        logical: childLogical(node, slot),
        generation: childGeneration(node, slot),
      }));
      await this.#records.add({ kind: "node", ...head, children });
      return 0;
    }
    await this.#records.add({ kind: "leaf", ...head, items: count });
    let faults = 0;
    for (let slot = 0; slot < count; slot++) {
      try {
        await this.#records.add({
          kind: "item",
          ...treeJson(tree.id),
          leaf: logical,
          slot,
          key: describedJson(describeKey(slotKey(node, slot))),
          offset: itemStart(node, slot) - HEADER_BYTES,
          size: itemSize(node, slot),
          data: describedJson(describeItem(node, slot, this.#sizes)),
        });
      } catch (error) {
        if (!(error instanceof BtrfsError)) throw error;
        await this.fault(tree, error);
        faults++;
      }
    }
    return faults;
  }
}

function treeJson(id: bigint): { tree: number | string; tree_name: string | null } {
  const name = treeName(id);
  return { tree: jsonNumber(id), tree_name: name === id.toString() ? null : name };
}

function treeWords(id: bigint): string {
  const name = treeName(id);
  return name === id.toString() ? name : `${name} (${BigInt.asIntN(64, id)})`;
}
