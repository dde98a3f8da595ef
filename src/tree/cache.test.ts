import { expect, test } from "vitest";
import { BuiltTree } from "../../test/support/build-tree.ts";
import { keyOf } from "../format/key.ts";
import { NodeCache } from "./cache.ts";

const items = Array.from({ length: 60 }, (_, at) => ({ key: keyOf(BigInt(at), 253, 0n), data: new Uint8Array(1) }));
const nodes = [...new BuiltTree(items, 3).nodes.values()];

test("a cache holds what was put, by address and generation, within its limit", () => {
  const cache = new NodeCache(10 * 4096);
  for (const node of nodes) {
    cache.put(node);
    expect(cache.get(node.logical, 7)).toBe(node);
    expect(cache.get(node.logical, 6)).toBeUndefined();
    expect(cache.bytes).toBeLessThanOrEqual(10 * 4096);
  }
  expect(nodes.filter((node) => cache.get(node.logical, 7)).length).toBe(10);
  cache.put(nodes.at(-1)!);
  expect(cache.bytes).toBe(10 * 4096);
  cache.delete(nodes.at(-1)!.logical);
  expect(cache.bytes).toBe(9 * 4096);
  cache.clear();
  expect(cache.bytes).toBe(0);
});

test("nodes that are looked at outlive a long scan of others", () => {
  const cache = new NodeCache(10 * 4096);
  const inner = nodes.slice(0, 3);
  for (const node of inner) cache.put(node);
  for (const leaf of nodes.slice(3)) {
    cache.put(leaf);
    for (const node of inner) expect(cache.get(node.logical, 7)).toBe(node);
  }
});

test("a node larger than the whole cache is not held", () => {
  const cache = new NodeCache(100);
  cache.put(nodes[0]!);
  expect(cache.bytes).toBe(0);
  expect(cache.get(nodes[0]!.logical, 7)).toBeUndefined();
});
