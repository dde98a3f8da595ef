import { expect, test } from "vitest";
import { MemoryDevice } from "../src/device/memory.ts";
import type { ByteStore } from "../src/device/source.ts";
import * as edit from "../src/edit/index.ts";
import { openFilesystem } from "../src/fs/filesystem.ts";
import { makeFilesystem } from "../src/mkfs/mkfs.ts";
import type { Transaction } from "../src/transaction/transaction.ts";
import { openWritableVolume, type WritableVolume } from "../src/transaction/writable.ts";

const TOP = 256n;
const LENGTH = 3 << 20;

/** A device whose writes and flushes do what the test wants before they are done. */
class WilfulStore implements ByteStore {
  readonly name = "wilful";
  readonly device: MemoryDevice;
  onWrite: (at: number) => Promise<void> | void = () => {};
  onFlush: () => void = () => {};

  constructor(mib = 60) {
    this.device = new MemoryDevice(new Uint8Array(mib << 20));
  }

  get size(): number {
    return this.device.size;
  }

  read(at: number, target: Uint8Array): Promise<void> {
    return this.device.read(at, target);
  }

  async write(at: number, data: Uint8Array): Promise<void> {
    await this.onWrite(at);
    await this.device.write(at, data);
  }

  async flush(): Promise<void> {
    this.onFlush();
  }

  resize(size: number): Promise<void> {
    return this.device.resize(size);
  }
}

async function opened(mib?: number): Promise<{ store: WilfulStore; volume: WritableVolume }> {
  const store = new WilfulStore(mib);
  await makeFilesystem(store, { nodeSize: 4096, metadata: "single" });
  return { store, volume: await openWritableVolume([store]) };
}

async function addFile(tx: Transaction, name: string): Promise<void> {
  const at = { tx, tree: 5n, now: 1_700_000_000_000_000_000n };
  const inode = await edit.createFile(at, TOP, name);
  await edit.writeFile(at, inode, 0n, new Uint8Array(LENGTH).fill(name.charCodeAt(0)));
}

/** Where each file that is there has another byte than its name's; -1 for nowhere. */
async function filesIn(store: ByteStore): Promise<Map<string, number>> {
  const filesystem = await openFilesystem([store]);
  const found = new Map<string, number>();
  for (const name of ["a", "b", "c"]) {
    const content = new Uint8Array(LENGTH);
    try {
      await (await filesystem.lookup(`/${name}`)).openFile().read(0n, content);
    } catch (error) {
      expect(error).toMatchObject({ code: "missing" });
      continue;
    }
    const wrong = content.findIndex((byte) => byte !== name.charCodeAt(0));
    found.set(name, wrong);
  }
  return found;
}

test("a transaction begins when what an abandoned one was writing has landed", async () => {
  const { store, volume } = await opened();
  let release = (): void => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  store.onWrite = () => gate;
  const tx = await volume.begin();
  await addFile(tx, "a");
  volume.abandon(tx);
  let begun = false;
  const next = volume.begin().then((other) => {
    begun = true;
    return other;
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(begun).toBe(false);
  release();
  const other = await next;
  await addFile(other, "b");
  await volume.commit(other);
  expect(await filesIn(store)).toEqual(new Map([["b", -1]]));
});

test("data that can't be written fails the commit, and leaves the filesystem as it was", async () => {
  const { store, volume } = await opened();
  await volume.transaction((tx) => addFile(tx, "a"));
  store.onWrite = () => Promise.reject(new Error("no"));
  await expect(volume.transaction((tx) => addFile(tx, "b"))).rejects.toThrow("no");
  store.onWrite = () => {};
  expect(await filesIn(store)).toEqual(new Map([["a", -1]]));
  await volume.transaction((tx) => addFile(tx, "c"));
  expect([...(await filesIn(store)).keys()].sort()).toEqual(["a", "c"]);
});

test.each([1, 2, 3])("after flush %i of a commit has failed, the volume does nothing more", async (number) => {
  const { store, volume } = await opened();
  await volume.transaction((tx) => addFile(tx, "a"));
  let count = 0;
  store.onFlush = () => {
    if (++count === number) throw new Error("no");
  };
  await expect(volume.transaction((tx) => addFile(tx, "b"))).rejects.toThrow("no");
  store.onFlush = () => {};
  const written = store.device.bytes.slice();
  await expect(volume.transaction((tx) => addFile(tx, "c"))).rejects.toMatchObject({ code: "io" });
  expect(Buffer.compare(store.device.bytes, written)).toBe(0);
  const found = await filesIn(store);
  expect(found.get("a")).toBe(-1);
  expect(found.get("b") ?? -1).toBe(-1);
  expect(found.has("c")).toBe(false);
});

// Long data begins to become durable before the commit, and the device may tell of what it lost only then.
test("after a flush has failed that came before the commit, the volume does nothing more", async () => {
  const { store, volume } = await opened(240);
  await volume.transaction((tx) => addFile(tx, "a"));
  let failed = 0;
  store.onFlush = () => {
    if (failed++ === 0) throw new Error("no");
  };
  const long = volume.transaction(async (tx) => {
    const at = { tx, tree: 5n, now: 1_700_000_000_000_000_000n };
    const inode = await edit.createFile(at, TOP, "b");
    for (let mib = 0; mib < 80; mib++)
      await edit.writeFile(at, inode, BigInt(mib << 20), new Uint8Array(1 << 20).fill(1));
  });
  await expect(long).rejects.toThrow("no");
  await expect(volume.transaction((tx) => addFile(tx, "c"))).rejects.toMatchObject({ code: "io" });
  expect(await filesIn(store)).toEqual(new Map([["a", -1]]));
});
