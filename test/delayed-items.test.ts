import fc from "fast-check";
import { expect, test } from "vitest";
import { MemoryDevice } from "../src/device/memory.ts";
import type { ByteStore } from "../src/device/source.ts";
import { type Key, keyOf, MAX_U64 } from "../src/format/key.ts";
import { itemBytes, slotKey } from "../src/format/node.ts";
import { FS_TREE_OBJECTID } from "../src/format/objectid.ts";
import { makeFilesystem } from "../src/mkfs/mkfs.ts";
import type { Transaction } from "../src/transaction/transaction.ts";
import { openWritableVolume } from "../src/transaction/writable.ts";
import { openVolume } from "../src/volume/open.ts";

/** No type that means anything. */
const TYPE = 77;
const OBJECTS = 6;
const OFFSETS = 12;

/** A store that can only be waited for, as one on a network: steps have to wait, and begin anew. */
class SlowStore implements ByteStore {
  readonly name = "slow";
  readonly #store: MemoryDevice;

  constructor(store: MemoryDevice) {
    this.#store = store;
  }

  get size(): number {
    return this.#store.size;
  }

  async read(at: number, target: Uint8Array): Promise<void> {
    await this.#store.read(at, target);
  }

  async write(at: number, data: Uint8Array): Promise<void> {
    await this.#store.write(at, data);
  }

  async flush(): Promise<void> {}

  resize(size: number): Promise<void> {
    return this.#store.resize(size);
  }
}

const STEPS = [
  "put",
  "put",
  "put",
  "resize",
  "edit",
  "remove",
  "get",
  "before",
  "list",
  "clear",
  "far",
  "settle",
] as const;

const step = fc.record({
  kind: fc.constantFrom(...STEPS),
  id: fc.nat(OBJECTS * OFFSETS - 1),
  size: fc.oneof(fc.nat(80), fc.integer({ min: 1000, max: 3900 })),
});

// Model test: the items of a subvolume are a sorted map, whoever asks, and whether they wait in memory or lie in the tree.
test.each([
  ["at hand", (store: MemoryDevice): ByteStore => store, 16 << 20],
  ["far away", (store: MemoryDevice): ByteStore => new SlowStore(store), 0],
] as const)(
  "items that wait are seen as if they were in their tree, with blocks %s",
  async (_, storeOf, cacheBytes) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 30, maxLength: 200 }), async (steps) => {
        const store = new MemoryDevice(new Uint8Array(40 << 20));
        await makeFilesystem(store, { nodeSize: 4096, metadata: "single" });
        const writable = await openWritableVolume([storeOf(store)], { cacheBytes });
        const model = new Map<string, Uint8Array>();
        for (let first = 0; first < steps.length; first += 60) {
          await writable.transaction(async (tx) => {
            for (const one of steps.slice(first, first + 60)) await apply(tx, model, one);
          });
          const volume = await openVolume([store]);
          const tree = await volume.openTree(FS_TREE_OBJECTID);
          const found = new Map<string, Uint8Array>();
          for await (const span of tree.leaves()) {
            for (let slot = span.first; slot < span.last; slot++) {
              const key = slotKey(span.leaf, slot);
              if (key.type === TYPE) found.set(textOf(key), itemBytes(span.leaf, slot).slice());
            }
          }
          expect([...found]).toEqual(inOrder(model));
        }
      }),
      { numRuns: 8 },
    );
  },
  60_000,
);

async function apply(
  tx: Transaction,
  model: Map<string, Uint8Array>,
  { kind, id, size }: { kind: (typeof STEPS)[number]; id: number; size: number },
): Promise<void> {
  const key = keyOf(BigInt(1000 + Math.floor(id / OFFSETS)), TYPE, BigInt((id % OFFSETS) * 10));
  const text = textOf(key);
  const data = new Uint8Array(size).fill(id + 1);
  const known = model.get(text);
  if (kind === "put") {
    if (known === undefined) {
      await tx.insert(FS_TREE_OBJECTID, key, data);
      model.set(text, data.slice());
    } else {
      await expect(tx.insert(FS_TREE_OBJECTID, key, data)).rejects.toMatchObject({ code: "exists" });
    }
  } else if (kind === "far") {
    // No number can have this offset: it goes past what waits.
    const far = { ...key, offset: MAX_U64 - key.offset };
    if (model.has(textOf(far))) return;
    await tx.insert(FS_TREE_OBJECTID, far, data);
    model.set(textOf(far), data.slice());
  } else if (kind === "get") {
    expect((await tx.get(FS_TREE_OBJECTID, key))?.slice()).toEqual(known);
  } else if (kind === "before") {
    const span = await tx.find(FS_TREE_OBJECTID, key, "atOrBefore");
    const before = inOrder(model).filter(([name]) => compare(name, text) <= 0);
    const found = slotKey(span!.leaf, span!.first);
    if (found.type === TYPE) expect(textOf(found)).toBe(before.at(-1)?.[0]);
    else expect(before).toEqual([]);
  } else if (kind === "list") {
    const range = { first: keyOf(key.objectid, TYPE, 0n), last: keyOf(key.objectid, TYPE + 1, 0n) };
    const walk = await tx.walk(FS_TREE_OBJECTID, range);
    const names: string[] = [];
    for (let span = await walk.next(); span !== undefined; span = await walk.next()) {
      for (let slot = span.first; slot < span.last; slot++) names.push(textOf(slotKey(span.leaf, slot)));
    }
    expect(names).toEqual(
      inOrder(model)
        .map(([name]) => name)
        .filter((name) => name.startsWith(`${key.objectid} `)),
    );
  } else if (kind === "clear") {
    await tx.removeObject(FS_TREE_OBJECTID, key.objectid);
    for (const name of [...model.keys()]) if (name.startsWith(`${key.objectid} `)) model.delete(name);
  } else if (kind === "settle") {
    await tx.relieve();
  } else if (known === undefined) {
    if (kind === "remove") await expect(tx.remove(FS_TREE_OBJECTID, key)).rejects.toMatchObject({ code: "missing" });
  } else if (kind === "remove") {
    await tx.remove(FS_TREE_OBJECTID, key);
    model.delete(text);
  } else if (kind === "resize") {
    await tx.replace(FS_TREE_OBJECTID, key, data);
    model.set(text, data.slice());
  } else if (kind === "edit" && known.byteLength > 0) {
    await tx.edit(FS_TREE_OBJECTID, key, (view) => view.setUint8(0, id));
    known[0] = id;
  }
}

function textOf({ objectid, offset }: Key): string {
  return `${objectid} ${offset}`;
}

function inOrder(model: ReadonlyMap<string, Uint8Array>): [string, Uint8Array][] {
  return [...model].sort(([a], [b]) => compare(a, b));
}

function compare(a: string, b: string): number {
  const [object, offset] = a.split(" ").map(BigInt) as [bigint, bigint];
  const [otherObject, otherOffset] = b.split(" ").map(BigInt) as [bigint, bigint];
  return Number(object - otherObject) || Number(offset - otherOffset);
}
