import fc from "fast-check";
import { expect, test } from "vitest";
import { MemoryDevice } from "../src/device/memory.ts";
import * as edits from "../src/edit/index.ts";
import { ExtentItem } from "../src/format/extent-item.ts";
import { type Key, keyOf } from "../src/format/key.ts";
import { EXTENT_ITEM } from "../src/format/key-type.ts";
import { itemBytes, slotKey } from "../src/format/node.ts";
import { makeFilesystem } from "../src/mkfs/mkfs.ts";
import type { Transaction } from "../src/transaction/transaction.ts";
import { openWritableVolume } from "../src/transaction/writable.ts";
import { openVolume } from "../src/volume/open.ts";
import type { Volume } from "../src/volume/volume.ts";

const UUID_TREE = 9n;
/** No type that means anything. */
const TYPE = 77;

interface Edit {
  readonly kind: "put" | "remove" | "resize" | "clear";
  readonly id: number;
  readonly size: number;
}

const edit: fc.Arbitrary<Edit> = fc.record({
  kind: fc.constantFrom("put", "put", "put", "remove", "resize", "clear"),
  id: fc.nat(400),
  // Small ones and ones that nearly fill a leaf.
  size: fc.oneof(fc.nat(120), fc.nat(1500), fc.integer({ min: 3500, max: 3960 })),
});

// Model test: a tree is a sorted map. Random edits go to both; after each commit the reopened image must hold the same
// items, every node of it read anew and checked.
test("a tree holds what a map holds after any edits, commit by commit", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 20, maxLength: 250 }), async (edits) => {
      const store = new MemoryDevice(new Uint8Array(40 << 20));
      await makeFilesystem(store, { nodeSize: 4096, metadata: "single" });
      const writable = await openWritableVolume([store]);
      const model = new Map<number, Uint8Array>();
      for (let first = 0; first < edits.length; first += 50) {
        await writable.transaction(async (tx) => {
          for (const { kind, id, size } of edits.slice(first, first + 50)) {
            const data = new Uint8Array(size).fill(id);
            const known = model.has(id);
            if (kind === "put" && !known) await tx.insert(UUID_TREE, key(id), data);
            else if (kind === "resize" && known) await tx.replace(UUID_TREE, key(id), data);
            else if (kind === "remove" && known) await tx.remove(UUID_TREE, key(id));
            else if (kind === "clear") {
              await tx.removeRange(UUID_TREE, { first: key(id), last: key(id + 40) });
              for (let at = id; at < id + 40; at++) model.delete(at);
            }
            if (kind === "remove") model.delete(id);
            if ((kind === "put" && !known) || (kind === "resize" && known)) model.set(id, data);
          }
        });
        const expected = [...model].sort(([a], [b]) => a - b);
        expect(await itemsIn(await openVolume([store]))).toEqual(expected);
        expect(await itemsIn(writable.volume)).toEqual(expected);
      }
    }),
    { numRuns: 12 },
  );
}, 60_000);

test("a throw inside leaves the filesystem as it was, and the next transaction works", async () => {
  const store = new MemoryDevice(new Uint8Array(40 << 20));
  await makeFilesystem(store, { nodeSize: 4096, metadata: "single" });
  const writable = await openWritableVolume([store]);
  const before = store.bytes.slice();
  const change = writable.transaction(async (tx) => {
    for (let id = 0; id < 100; id++) await tx.insert(UUID_TREE, key(id), new Uint8Array(500));
    throw new Error("no");
  });
  await expect(change).rejects.toThrow("no");
  expect(Buffer.compare(store.bytes, before)).toBe(0);
  await writable.transaction((tx) => tx.insert(UUID_TREE, key(5), new Uint8Array(3)));
  expect(await itemsIn(await openVolume([store]))).toEqual([[5, new Uint8Array(3)]]);
});

test("a full filesystem says so, and stays what it was", async () => {
  const store = new MemoryDevice(new Uint8Array(24 << 20));
  await makeFilesystem(store, { nodeSize: 4096, metadata: "single" });
  const writable = await openWritableVolume([store]);
  const fill = writable.transaction(async (tx) => {
    for (let id = 0; ; id++) await tx.insert(UUID_TREE, key(id), new Uint8Array(3000));
  });
  await expect(fill).rejects.toMatchObject({ code: "space" });
  await writable.transaction((tx) => tx.insert(UUID_TREE, key(1), new Uint8Array(1)));
  expect(await itemsIn(await openVolume([store]))).toEqual([[1, new Uint8Array(1)]]);
});

// The inode of the one reference that the extent's item has is another one.
test("to drop a reference that the extent tree does not have is told as damage, and changes nothing", async () => {
  const inodeAt = ExtentItem.byteLength + 1 + 8;
  const store = new MemoryDevice(new Uint8Array(40 << 20));
  await makeFilesystem(store, { nodeSize: 4096, metadata: "single" });
  const writable = await openWritableVolume([store]);
  const place = (tx: Transaction): edits.Place => ({ tx, tree: 5n, now: 1n });
  await writable.transaction(async (tx) => {
    const inode = await edits.createFile(place(tx), 256n, "file");
    await edits.writeFile(place(tx), inode, 0n, new Uint8Array(9000).fill(1));
  });
  await writable.transaction(async (tx) => {
    const extents = await tx.walk(2n, { first: keyOf(0n, 0, 0n) });
    for (let span = await extents.next(); span !== undefined; span = await extents.next()) {
      for (let slot = span.first; slot < span.last; slot++) {
        const found = slotKey(span.leaf, slot);
        if (found.type !== EXTENT_ITEM) continue;
        return tx.edit(2n, found, (view) => view.setBigUint64(inodeAt, 99n, true));
      }
    }
    throw new Error("there is no data extent");
  });
  const { generation } = writable.volume;
  const unlink = writable.transaction((tx) => edits.unlink(place(tx), 256n, "file"));
  await expect(unlink).rejects.toMatchObject({ code: "corrupt" });
  expect((await openVolume([store])).generation).toBe(generation);
});

function key(id: number): Key {
  return keyOf(BigInt(id), TYPE, 0n);
}

async function itemsIn(volume: Volume): Promise<[number, Uint8Array][]> {
  const items: [number, Uint8Array][] = [];
  const tree = await volume.openTree(UUID_TREE);
  for await (const { leaf, first, last } of tree.leaves({ first: key(0), last: key(1000) })) {
    for (let slot = first; slot < last; slot++) {
      const { objectid, type } = slotKey(leaf, slot);
      if (type === TYPE) items.push([Number(objectid), itemBytes(leaf, slot).slice()]);
    }
  }
  return items;
}
