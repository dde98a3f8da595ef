import { expect, test } from "vitest";
import { viewOf } from "../src/bytes/bytes.ts";
import { MemoryDevice } from "../src/device/memory.ts";
import * as edit from "../src/edit/index.ts";
import { keyOf } from "../src/format/key.ts";
import { VERITY_DESC_ITEM } from "../src/format/key-type.ts";
import { makeFilesystem } from "../src/mkfs/mkfs.ts";
import { estimateSend, ImageSource, type SendOptions, sendCommands } from "../src/send/index.ts";
import type { Transaction } from "../src/transaction/transaction.ts";
import { openWritableVolume, type WritableVolume } from "../src/transaction/writable.ts";

// ENABLE_VERITY, after items put in by hand: a kernel makes it only when it was built for experiments, so there is none
// to compare with.

const TOP = 256n;
const SALT = new Uint8Array(16).fill(7);
/** Longer than one item holds. */
const SIGNATURE = new Uint8Array(3000).map((_, index) => index % 251);

const place = (tx: Transaction, tree = 5n): edit.Place => ({ tx, tree, now: 1_700_000_000_000_000_000n });

/** The items of `struct btrfs_verity_descriptor_item`, and of the descriptor, which takes two. */
async function enableVerity(tx: Transaction, tree: bigint, inode: bigint, signatureSize: number): Promise<void> {
  const descriptor = new Uint8Array(256 + SIGNATURE.byteLength);
  // Version 1, SHA-512, blocks of 4 KiB, and the length of the salt.
  descriptor.set([1, 2, 12, SALT.byteLength]);
  viewOf(descriptor).setUint32(4, signatureSize, true);
  descriptor.set(SALT, 80);
  descriptor.set(SIGNATURE, 256);
  const about = new Uint8Array(25);
  viewOf(about).setBigUint64(0, BigInt(descriptor.byteLength), true);
  await tx.insert(tree, keyOf(inode, VERITY_DESC_ITEM, 0n), about);
  await tx.insert(tree, keyOf(inode, VERITY_DESC_ITEM, 1n), descriptor.slice(0, 2048));
  await tx.insert(tree, keyOf(inode, VERITY_DESC_ITEM, 2049n), descriptor.slice(2048));
}

/** Snapshots `before`, of two files, and `after`, where the second one has got verity and a third one has come with it. */
async function makeVolume(signatureSize = SIGNATURE.byteLength) {
  const store = new MemoryDevice(new Uint8Array(60 << 20));
  await makeFilesystem(store, { nodeSize: 4096, metadata: "single" });
  const volume = await openWritableVolume([store]);
  const [before, after] = await volume.transaction(async (tx) => {
    const live = await edit.createSubvolume(place(tx), TOP, "live");
    const at = place(tx, live);
    const add = async (name: string): Promise<bigint> => {
      const inode = await edit.createFile(at, TOP, name);
      await edit.writeFile(at, inode, 0n, new Uint8Array(9000).fill(1));
      return inode;
    };
    await add("plain");
    const old = await add("old");
    const first = await edit.snapshotSubvolume(place(tx), live, TOP, "before", { readOnly: true });
    await enableVerity(tx, live, old, signatureSize);
    await edit.setAttributes(at, old, { mode: 0o600 });
    await enableVerity(tx, live, await add("new"), signatureSize);
    await add("other");
    return [first, await edit.snapshotSubvolume(place(tx), live, TOP, "after", { readOnly: true })];
  });
  return { volume, before, after };
}

async function linesOf({ volume }: WritableVolume, options: SendOptions): Promise<string[]> {
  const lines: string[] = [];
  for await (const command of sendCommands(new ImageSource(volume), options)) {
    const { name, path } = command as { name: string; path?: Uint8Array };
    lines.push(`${name} ${Buffer.from(path ?? "").toString()}`);
    if (command.name !== "enableVerity") continue;
    const { verityAlgorithm, verityBlockSize, veritySaltData, veritySigData } = command;
    expect({ verityAlgorithm, verityBlockSize }).toEqual({ verityAlgorithm: 2, verityBlockSize: 4096 });
    expect(Buffer.from(veritySaltData).equals(SALT)).toBe(true);
    expect(Buffer.from(veritySigData).equals(SIGNATURE)).toBe(true);
  }
  return lines;
}

const enabled = (lines: readonly string[]): string[] => lines.filter((line) => line.startsWith("enableVerity"));

test("is sent by protocol 3 for each file that has it, after its mode and before its times", async () => {
  const { volume, after } = await makeVolume();
  const lines = await linesOf(volume, { snapshot: after, protocol: 3 });
  expect(enabled(lines)).toEqual(["enableVerity old", "enableVerity new"]);
  for (const name of ["old", "new"]) {
    const at = lines.indexOf(`enableVerity ${name}`);
    expect([lines[at - 1], lines[at + 1]]).toEqual([`chmod ${name}`, `utimes ${name}`]);
  }
  const { bytes, counts } = await estimateSend(new ImageSource(volume.volume), { snapshot: after, protocol: 3 });
  expect(counts.get("enableVerity")?.commands).toBe(2);
  expect(bytes).toBeGreaterThan(2 * SIGNATURE.byteLength);
});

test("is sent against a parent where it is new, and by other protocols never", async () => {
  const { volume, before, after } = await makeVolume();
  const options = { snapshot: after, parent: before } as const;
  expect(enabled(await linesOf(volume, { ...options, protocol: 3 }))).toEqual(["enableVerity old", "enableVerity new"]);
  expect(enabled(await linesOf(volume, { ...options, protocol: 2 }))).toEqual([]);
  expect(enabled(await linesOf(volume, { snapshot: before, parent: after, protocol: 3 }))).toEqual([]);
  expect(enabled(await linesOf(volume, { snapshot: after, parent: after, protocol: 3 }))).toEqual([]);
});

test("is refused where the descriptor contradicts itself", async () => {
  const { volume, after } = await makeVolume(0xffff_ffff);
  await expect(linesOf(volume, { snapshot: after, protocol: 3 })).rejects.toThrow(/signature of 4294967295 bytes/);
});
