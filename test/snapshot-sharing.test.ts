import { expect, test } from "vitest";
import { MemoryDevice } from "../src/device/memory.ts";
import * as edit from "../src/edit/index.ts";
import { openFilesystem } from "../src/fs/filesystem.ts";
import { makeFilesystem } from "../src/mkfs/mkfs.ts";
import type { Transaction } from "../src/transaction/transaction.ts";
import { openWritableVolume } from "../src/transaction/writable.ts";

const TOP = 256n;
/** So many that the tree has several leaves, which a snapshot shares. */
const FILES = 120;

const place = (tx: Transaction, tree = 5n): edit.Place => ({ tx, tree, now: 1_700_000_000_000_000_000n });

async function makeFiles(tx: Transaction): Promise<void> {
  for (let index = 0; index < FILES; index++) {
    const inode = await edit.createFile(place(tx), TOP, `file ${index}`);
    await edit.writeFile(place(tx), inode, 0n, new Uint8Array(100).fill(index));
  }
}

/** Gives every third file another mode, and removes every tenth. */
async function change(tx: Transaction, tree: bigint, mode: number): Promise<void> {
  for (let index = 0; index < FILES; index += 3) {
    const found = await edit.findName(place(tx, tree), TOP, new TextEncoder().encode(`file ${index}`));
    if (found !== undefined) await edit.setAttributes(place(tx, tree), found.location.objectid, { mode });
  }
  for (let index = 7; index < FILES; index += 10) {
    const name = `file ${index}`;
    if ((await edit.findName(place(tx, tree), TOP, new TextEncoder().encode(name))) !== undefined)
      await edit.unlink(place(tx, tree), TOP, name);
  }
}

/** Modes by name of the files at the top of a subvolume. */
async function modesIn(store: MemoryDevice, id: bigint): Promise<Map<string, number>> {
  const filesystem = await openFilesystem([store]);
  const top = await (await filesystem.subvolume(id)).root();
  const modes = new Map<string, number>();
  for await (const entries of top.readDirectory()) {
    for (const entry of entries) {
      const name = new TextDecoder().decode(entry.name);
      if (name.startsWith("file")) modes.set(name, (await top.enter(entry)).stat.mode & 0o7777);
    }
  }
  return modes;
}

// Blocks that were made in the transaction of a snapshot, before it, are shared although nobody has committed them yet.
test.each([
  ["in the transaction that made the files", true],
  ["in a later transaction", false],
])("a snapshot %s keeps what it was, whichever side is changed", async (_, isSame) => {
  const store = new MemoryDevice(new Uint8Array(60 << 20));
  await makeFilesystem(store, { nodeSize: 4096, metadata: "single" });
  const volume = await openWritableVolume([store]);
  const snapshots: bigint[] = [];
  const snapshot = async (tx: Transaction, name: string): Promise<void> => {
    snapshots.push(await edit.snapshotSubvolume(place(tx), 5n, TOP, name));
  };
  if (!isSame) await volume.transaction(makeFiles);
  await volume.transaction(async (tx) => {
    if (isSame) await makeFiles(tx);
    await snapshot(tx, "first");
    await change(tx, 5n, 0o600);
    await snapshot(tx, "second");
    await change(tx, snapshots[1]!, 0o640);
  });
  const untouched = await modesIn(store, snapshots[0]!);
  expect(untouched.size).toBe(FILES);
  expect([...untouched.values()].every((mode) => mode === 0o644)).toBe(true);
  const own = await modesIn(store, 5n);
  expect(own.get("file 3")).toBe(0o600);
  expect(own.has("file 7")).toBe(false);
  expect((await modesIn(store, snapshots[1]!)).get("file 3")).toBe(0o640);
  await volume.transaction((tx) => change(tx, snapshots[0]!, 0o400));
  expect(await modesIn(store, 5n)).toEqual(own);
  expect((await modesIn(store, snapshots[0]!)).get("file 3")).toBe(0o400);
});

// The kernel takes blocks up to a snapshot's offset in the root tree for blocks of others, and drops the snapshot accordingly.
test("a snapshot's offset is below the generation of the blocks it owns, when it is changed where it is made", async () => {
  const store = new MemoryDevice(new Uint8Array(60 << 20));
  await makeFilesystem(store, { nodeSize: 4096, metadata: "single" });
  const volume = await openWritableVolume([store]);
  const { id, generation } = await volume.transaction(async (tx) => {
    await makeFiles(tx);
    const id = await edit.snapshotSubvolume(place(tx), 5n, TOP, "snapshot");
    await change(tx, id, 0o700);
    return { id, generation: BigInt(tx.generation) };
  });
  await volume.transaction(async (tx) => {
    const { key, item } = (await tx.rootItem(id))!;
    expect(item.otransid).toBe(generation);
    expect(key.offset).toBeLessThan(generation);
  });
});
