import { expect, test } from "vitest";
import { equalBytes } from "../src/bytes/bytes.ts";
import { formatUuid, isZeroUuid } from "../src/bytes/uuid.ts";
import { MemoryDevice } from "../src/device/memory.ts";
import { openFilesystem } from "../src/fs/filesystem.ts";
import { makeFilesystem } from "../src/mkfs/mkfs.ts";
import { ImageTarget, type ImageTargetOptions } from "../src/receive/image-target.ts";
import { type ReceiveOptions, type ReceiveSummary, receive } from "../src/receive/receive.ts";
import { openWritableVolume } from "../src/transaction/writable.ts";
import { treeDifferences } from "./kernel/support/tree.ts";
import { treeOfImage } from "./support/tree-of-image.ts";
import { goldenDump, snapshotTree, streamBytes } from "./support.ts";

/** Streams that follow each other, and the snapshots that they make. */
const CHAINS: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ["version 1", ["full-v1", "increment-v1", "empty-increment-v1"], ["first", "second", "third"]],
  ["version 2", ["full-v2", "increment-v2", "empty-increment-v2"], ["first", "second", "third"]],
  ["compressed", ["full-compressed", "increment-compressed"], ["first", "second"]],
  ["all algorithms", ["zlib", "lzo", "zstd"], ["zlib-1", "lzo-1", "zstd-1"]],
  ["names", ["names-v1"], ["names-1"]],
  ["an increment", ["small-v2", "small-increment-v2"], ["small-1", "small-2"]],
  ["a clone source", ["small-v1", "clone-source-v1"], ["small-1", "small-2"]],
  ["two in one", ["two-v1"], ["small-1", "small-2"]],
  ["two in one without END", ["two-without-end-v2"], ["small-1", "small-2"]],
];

// Times that a stream does not carry, or carries only in version 2, are those of the receive.
const OWN = ["inode", "atime", "ctime", "data"] as const;

test.each(CHAINS)("%s: what is received is what was sent", async (_, streams, snapshots) => {
  const store = await emptyStore();
  for (const stream of streams) await receiveInto(store, streamBytes(stream), { commitBytes: 1 << 20 });
  const filesystem = await openFilesystem([store]);
  for (const snapshot of snapshots) {
    const inode = await filesystem.lookup(snapshot);
    const differences = treeDifferences(await treeOfImage(inode), snapshotTree(snapshot), OWN);
    // The kernel leaves out the times of the root in some increments.
    expect(differences.filter((text) => !text.startsWith('"": mtime'))).toEqual([]);
    const { info } = inode.subvolume;
    expect(info.readOnly).toBe(true);
    expect(info.receivedUuid === undefined || isZeroUuid(info.receivedUuid)).toBe(false);
    expect(info.stransid).toBeGreaterThan(0n);
    expect(await inode.xattrs()).toEqual([]);
  }
});

test("encoded writes are stored as they came", async () => {
  const store = await emptyStore();
  const summary = await receiveInto(store, streamBytes("full-compressed"));
  const sent = new TextDecoder("latin1").decode(goldenDump("full-compressed")).match(/^encoded_write /gm)!.length;
  expect(summary.encoded.carried).toBe(sent);
  expect([...summary.encoded.decoded]).toEqual([]);
  const plain = await emptyStore();
  const decoded = await receiveInto(plain, streamBytes("full-compressed"), { forceDecompress: true });
  expect(decoded.encoded.carried).toBe(0);
  expect([...decoded.encoded.decoded.keys()]).toEqual(["as asked"]);
  const filesystem = await openFilesystem([plain]);
  const differences = treeDifferences(await treeOfImage(await filesystem.lookup("first")), snapshotTree("first"), OWN);
  expect(differences.filter((text) => !text.startsWith('"": mtime'))).toEqual([]);
});

test("an increment without its parent is refused, and nothing is left", async () => {
  const store = await emptyStore();
  const before = store.bytes.slice();
  await expect(receiveInto(store, streamBytes("increment-v1"))).rejects.toThrow("cannot find parent subvolume");
  expect(equalBytes(store.bytes.subarray(0, 1 << 20), before.subarray(0, 1 << 20))).toBe(true);
  expect(await (await openFilesystem([store])).subvolumes()).toHaveLength(1);
});

test("a stream that breaks off leaves its subvolume writable, marked, and without received uuid", async () => {
  const store = await emptyStore();
  const whole = streamBytes("full-v1");
  const places: string[] = [];
  const onEvent: ReceiveOptions["onEvent"] = (event) => {
    if (event.kind === "unfinished") places.push(event.place);
  };
  const cut = receiveInto(store, whole.subarray(0, whole.byteLength - 4000), { commitBytes: 1 << 16 }, { onEvent });
  await expect(cut).rejects.toThrow();
  expect(places).toEqual(["first"]);
  const { subvolume, ...inode } = await openFilesystem([store]).then((filesystem) => filesystem.lookup("first"));
  expect(inode).toBeDefined();
  expect(subvolume.info).toMatchObject({ readOnly: false, receivedUuid: undefined });
  const [mark] = await (await subvolume.root()).xattrs();
  expect(new TextDecoder().decode(mark?.name)).toBe("user.btrkit.receiving");
  expect(formatUuid(subvolume.info.uuid!)).toHaveLength(36);
});

async function emptyStore(): Promise<MemoryDevice> {
  const store = new MemoryDevice(new Uint8Array(140 << 20));
  await makeFilesystem(store, { metadata: "single" });
  return store;
}

async function receiveInto(
  store: MemoryDevice,
  stream: Uint8Array,
  target: ImageTargetOptions = {},
  options: ReceiveOptions = {},
): Promise<ReceiveSummary> {
  const volume = await openWritableVolume([store]);
  return receive([stream], new ImageTarget(volume, target), options);
}
