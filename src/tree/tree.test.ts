import fc from "fast-check";
import { expect, test } from "vitest";
import { BuiltTree, redirect } from "../../test/support/build-tree.ts";
import { CorruptError } from "../errors.ts";
import { compareKeys, type Key, type KeyRange, keyAfter, keyOf, packKey } from "../format/key.ts";
import { STRING_ITEM } from "../format/key-type.ts";
import { childLogical, itemBytes, NodeBlock, slotKey } from "../format/node.ts";
import { treeBlocks } from "./blocks.ts";
import type { LeavesOptions, Tree } from "./source.ts";
import { NodeTree } from "./tree.ts";

// STRING_ITEM may hold anything, so these trees are about order alone.
const key: fc.Arbitrary<Key> = fc
  .tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 9 }))
  .map(([objectid, offset]) => keyOf(BigInt(objectid), STRING_ITEM, BigInt(offset)));

const sorted = fc
  .uniqueArray(key, { maxLength: 80, comparator: (a, b) => compareKeys(a, b) === 0 })
  .map((keys) => keys.sort(compareKeys));

function treeOf(keys: readonly Key[]): BuiltTree {
  const items = keys.map((key) => ({ key, data: Uint8Array.of(Number(key.objectid), Number(key.offset)) }));
  return new BuiltTree(items, 3, 4096, 256n);
}

const hundred = Array.from({ length: 100 }, (_, at) => keyOf(BigInt(at), STRING_ITEM, 0n));

async function keysIn(tree: Tree, range?: KeyRange, options?: LeavesOptions): Promise<Key[]> {
  const keys: Key[] = [];
  for await (const { leaf, first, last } of tree.leaves(range, options)) {
    for (let slot = first; slot < last; slot++) {
      keys.push(slotKey(leaf, slot));
      expect([...itemBytes(leaf, slot)]).toEqual([Number(keys.at(-1)!.objectid), Number(keys.at(-1)!.offset)]);
    }
  }
  return keys;
}

// Model test: a tree is a sorted list, whether its nodes are read or cached.
test("a range holds what a sorted list holds between its ends", async () => {
  await fc.assert(
    fc.asyncProperty(
      sorted,
      key,
      fc.option(key, { nil: undefined }),
      fc.boolean(),
      async (keys, first, last, cache) => {
        const built = treeOf(keys);
        const tree = await NodeTree.open(built, built.root);
        if (cache) for (const logical of built.nodes.keys()) built.inCache.add(logical);
        const inside = keys.filter(
          (k) => compareKeys(k, first) >= 0 && (last === undefined || compareKeys(k, last) < 0),
        );
        expect(await keysIn(tree, last === undefined ? { first } : { first, last })).toEqual(inside);
        expect(await keysIn(tree)).toEqual(keys);
      },
    ),
  );
});

test("find gives the item with the key, or the last one before it", async () => {
  await fc.assert(
    fc.asyncProperty(sorted, key, async (keys, wanted) => {
      const built = treeOf(keys);
      const tree = await NodeTree.open(built, built.root);
      const exact = await tree.find(wanted, "exact");
      const before = await tree.find(wanted, "atOrBefore");
      expect(exact && slotKey(exact.leaf, exact.first)).toEqual(keys.find((k) => compareKeys(k, wanted) === 0));
      expect(before && slotKey(before.leaf, before.first)).toEqual(keys.findLast((k) => compareKeys(k, wanted) <= 0));
      if (before) expect(before.last).toBe(before.first + 1);
    }),
  );
});

test("find reads one node a level, a range its leaves and what leads to them", async () => {
  const built = treeOf(hundred);
  const tree = await NodeTree.open(built, built.root);
  expect(tree.root.level).toBe(4);
  built.reads = [];
  await tree.find(hundred[50]!, "exact");
  expect(built.reads.length).toBe(4);
  built.reads = [];
  await keysIn(tree, { first: hundred[9]!, last: hundred[12]! });
  expect(built.reads.length).toBe(4);
});

test("a walk announces the siblings that it will want, and no others", async () => {
  const built = treeOf(hundred);
  const tree = await NodeTree.open(built, built.root);
  const leaves = [...built.nodes.values()].filter((node) => node.level === 0).map((node) => node.logical);
  const announcedLeaves = () => built.announced.filter((logical) => leaves.includes(logical));
  await keysIn(tree, { first: hundred[9]!, last: hundred[12]! });
  expect(announcedLeaves()).toEqual([]);
  await keysIn(tree, { first: hundred[9]!, last: hundred[13]! });
  expect(announcedLeaves()).toEqual([leaves[4]]);
  built.announced = [];
  await keysIn(tree);
  // Leaves go in threes: the first of each is read at once, the others are announced.
  expect(announcedLeaves()).toEqual(leaves.filter((_, at) => at % 3 !== 0));
});

test("subtrees older than the wanted generation are not read", async () => {
  const built = treeOf(hundred);
  const tree = await NodeTree.open(built, built.root);
  built.reads = [];
  expect(await keysIn(tree, undefined, { minGeneration: 8 })).toEqual([]);
  expect(built.reads).toEqual([]);
  expect((await keysIn(tree, undefined, { minGeneration: 7 })).length).toBe(100);
});

test("cached nodes are walked without a promise", async () => {
  const built = treeOf(hundred);
  const tree = await NodeTree.open(built, built.root);
  for (const logical of built.nodes.keys()) built.inCache.add(logical);
  const walk = tree.walk();
  let leaves = 0;
  for (let span = walk.next(); span !== undefined; span = walk.next()) {
    expect(span).not.toBeInstanceOf(Promise);
    leaves++;
  }
  expect(leaves).toBe(34);
});

test("an aborted walk stops with the reason", async () => {
  const built = treeOf(hundred);
  const tree = await NodeTree.open(built, built.root);
  const stop = new AbortController();
  const walking = (async () => {
    for await (const _ of tree.leaves(undefined, { signal: stop.signal })) stop.abort(new Error("enough"));
  })();
  await expect(walking).rejects.toThrow("enough");
});

// Every inner node is made to lead to every other node, itself and its parents among them: none may be believed,
// cached or not.
test("a pointer that leads anywhere but to its own child is refused, by find() and by child()", async () => {
  const built = treeOf(hundred.slice(0, 40));
  const tree = await NodeTree.open(built, built.root);
  const all = [...built.nodes.values()];
  for (const node of all.filter(({ level }) => level > 0)) {
    const right = childLogical(node, 0);
    for (const target of all) {
      if (target.logical === right) continue;
      redirect(node, 0, target.logical);
      for (const cache of [false, true]) {
        built.inCache.clear();
        if (cache) for (const logical of built.nodes.keys()) built.inCache.add(logical);
        await expect(tree.child(node, 0)).rejects.toThrow(CorruptError);
        await expect(tree.find(slotKey(node, 0), "exact")).rejects.toThrow(CorruptError);
      }
    }
    redirect(node, 0, right);
  }
  expect((await keysIn(tree)).length).toBe(40);
});

test("a child whose keys run past its parent's next key is refused", async () => {
  const built = treeOf(hundred);
  const tree = await NodeTree.open(built, built.root);
  const leafParent = [...built.nodes.values()].find((node) => node.level === 1)!;
  const leaf = built.nodes.get(65536)!;
  // The last key of the first leaf (2) becomes the first key of the second (3).
  leaf.view.setBigUint64(101 + 2 * 25, 3n, true);
  await expect(tree.child(leafParent, 0)).rejects.toThrow(
    "Cannot trust node: last key is (3 STRING_ITEM 0), expected one below (3 STRING_ITEM 0)",
  );
});

// The third leaf is the last child of its parent, so its end is known from above alone.
test("the end of a last child comes from the nodes above", async () => {
  const built = treeOf(hundred);
  const tree = await NodeTree.open(built, built.root);
  const leaf = [...built.nodes.values()].filter((node) => node.level === 0)[2]!;
  leaf.view.setBigUint64(101 + 2 * 25, 9n, true);
  await expect(keysIn(tree)).rejects.toThrow("last key is (9 STRING_ITEM 0), expected one below (9 STRING_ITEM 0)");
  await expect(tree.find(hundred[8]!, "exact")).rejects.toThrow(CorruptError);
  expect(keyAfter(hundred[8]!)?.objectid).toBe(8n);
});

// A bad copy is read over what was lent before: nothing may be looked up there any more.
test("lookups don't trust a lent leaf whose bytes were used again", async () => {
  const built = treeOf(hundred.slice(0, 9));
  const bytes = new Uint8Array(4096);
  let isBad = false;
  const source = {
    readNode: built.readNode.bind(built),
    cached: () => undefined,
    lend(logical: number) {
      const node = built.nodes.get(logical)!;
      if (isBad) bytes.fill(0xff);
      else bytes.set(node.bytes);
      return isBad ? undefined : new NodeBlock(bytes);
    },
  };
  const tree = await NodeTree.open(source, built.root);
  let node = tree.root;
  while (node.level > 1) node = await tree.child(node, 0);
  expect(tree.lendNow(node, 0, bytes)?.level).toBe(0);
  expect(tree.findNow(packKey(hundred[1]!), "exact")?.first).toBe(1);
  isBad = true;
  expect(tree.lendNow(node, 1, bytes)).toBeUndefined();
  expect(tree.findNow(packKey(hundred[1]!), "exact")).toBeNull();
});

// Nothing here waits for a device: only a turn of its own lets the host's timers in.
test("a walk and a look at all blocks hear a timer that aborts them, though nothing has to be read", async () => {
  const built = treeOf(hundred);
  const tree = await NodeTree.open(built, built.root);
  for (const logical of built.nodes.keys()) built.inCache.add(logical);
  const begun = performance.now();
  for (const look of [tree.leaves.bind(tree, undefined), treeBlocks.bind(undefined, tree)]) {
    const signal = AbortSignal.timeout(10);
    const forever = async (): Promise<void> => {
      while (performance.now() - begun < 10_000) for await (const _ of look({ signal }));
    };
    await expect(forever()).rejects.toThrow("timeout");
  }
  expect(performance.now() - begun).toBeLessThan(9000);
});
