import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { concatBytes } from "../src/bytes/bytes.ts";
import { type Encode, makeEncoder } from "../src/codec/encoder.ts";
import { MemoryDevice } from "../src/device/memory.ts";
import { type Packer, packPieces } from "../src/edit/pack.ts";
import { encodedExtentsOf } from "../src/encoded/extents.ts";
import { BtrfsError } from "../src/errors.ts";
import { type Filesystem, openFilesystem } from "../src/fs/filesystem.ts";
import { openPacker } from "../src/linux/compress-threads.ts";
import { makeFilesystem } from "../src/mkfs/mkfs.ts";
import { ImageTarget, type ImageTargetOptions } from "../src/receive/image-target.ts";
import { type ReceiveOptions, receive } from "../src/receive/receive.ts";
import { openWritableVolume } from "../src/transaction/writable.ts";
import { treeDifferences } from "./kernel/support/tree.ts";
import * as raw from "./support/raw-commands.ts";
import { command, header } from "./support/raw-stream.ts";
import { treeOfImage } from "./support/tree-of-image.ts";
import { snapshotTree, streamBytes } from "./support.ts";

// What is written is compressed while commands before it are carried out. Neither how long that takes nor who does it may be
// seen in the image; and it holds what an image without compression holds.

const COMPRESS = { algorithm: "zstd", level: 3 } as const;
const END = command(21, new Uint8Array(0));

let encode: Encode;
beforeAll(async () => {
  encode = await makeEncoder(COMPRESS, 4096);
});

/** Answers late, and not in turn. */
function slowPacker(): Packer {
  let jobs = 0;
  return {
    run: async (job) => {
      await sleep((jobs++ * 7) % 5);
      return packPieces(job, encode);
    },
  };
}

/** Compressible, and different at each place and for each seed. */
function text(bytes: number, seed: number): Uint8Array {
  const data = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at++) data[at] = 97 + ((((at * 31) ^ (at >>> 7) ^ (seed * 2654435761)) >>> 3) & 7);
  return data;
}

function noise(bytes: number, seed: number): Uint8Array {
  const data = new Uint8Array(bytes);
  let state = seed;
  for (let at = 0; at < bytes; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[at] = state >>> 24;
  }
  return data;
}

/** Plain writes as version 1 has them. */
function writes(path: string, data: Uint8Array, offset = 0): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < data.byteLength; at += 49_152) {
    parts.push(raw.write(path, data.subarray(at, at + 49_152), offset + at));
  }
  return concatBytes(parts);
}

/** Files that are read, changed, named otherwise and removed right behind what was written to them. */
function busyStream(): Uint8Array {
  const parts: Uint8Array[] = [header(2), raw.subvol("s")];
  for (let file = 0; file < 12; file++) {
    const [a, b, c] = ["a", "b", "c"].map((name) => `${name}${file}`) as [string, string, string];
    parts.push(
      raw.mkfile(a),
      writes(a, text(300_000 + 1000 * file, file)),
      // Over what was written, in the middle and across its end.
      writes(a, text(50_000, 50 + file), 100_000),
      writes(a, noise(200_000, file), 290_000),
      raw.mkfile(b),
      raw.clone(b, a, 98_304),
      writes(b, text(9000, 7 * file), 4096),
      raw.mkfile(c),
      writes(c, text(3000 + file, file)),
      raw.rename(c, `moved${file}`),
      raw.write(`moved${file}`, text(100, 1), 3000 + file),
      raw.link(`again${file}`, `moved${file}`),
      raw.write(`again${file}`, text(60_000, 2), 8192),
      raw.truncate(a, 123_456 + file),
      writes(a, text(10_000, 3), 200_001),
      raw.fallocate(b, 3, 8192, 8192),
      raw.setXattr(b, "user.x", "y"),
      raw.mkfile(`gone${file}`),
      writes(`gone${file}`, text(70_000, file)),
      raw.unlink(`gone${file}`),
      raw.mkfile(`empty${file}`),
      raw.write(`empty${file}`, ""),
      raw.chmod(a, 0o640),
      raw.utimes(a),
    );
  }
  parts.push(END);
  return concatBytes(parts);
}

test.each([
  ["version 1", ["full-v1", "increment-v1"], ["first", "second"]],
  ["version 2", ["full-v2", "increment-v2"], ["first", "second"]],
  ["a clone source", ["small-v1", "clone-source-v1"], ["small-1", "small-2"]],
  ["two in one", ["two-v1"], ["small-1", "small-2"]],
])("%s, compressed, is what was sent", async (_, streams, snapshots) => {
  const store = await emptyStore();
  for (const stream of streams) {
    await receiveInto(store, streamBytes(stream), { packer: slowPacker(), commitBytes: 1 << 20 });
  }
  const filesystem = await openFilesystem([store]);
  for (const snapshot of snapshots) {
    const own = ["inode", "atime", "ctime", "data"] as const;
    const differences = treeDifferences(
      await treeOfImage(await filesystem.lookup(snapshot)),
      snapshotTree(snapshot),
      own,
    );
    expect(differences.filter((line) => !line.startsWith('"": mtime'))).toEqual([]);
  }
});

describe("a stream that goes on with what it has just written", () => {
  const now = () => 1_700_000_000_000_000_000n;

  test("gives what it gives without compression", async () => {
    const [plain, packed] = [await emptyStore(), await emptyStore()];
    await receiveInto(plain, busyStream(), { compress: undefined, now });
    await receiveInto(packed, busyStream(), { packer: slowPacker(), now, commitBytes: 1 << 20 });
    const [is, expected] = await Promise.all(
      [packed, plain].map(async (store) => treeOfImage(await (await openFilesystem([store])).lookup("s"))),
    );
    expect(treeDifferences(is!, expected!, ["inode", "data"])).toEqual([]);
    expect((await extentsIn(packed)).filter((words) => words.includes("compression=2")).length).toBeGreaterThan(20);
  });

  test("is stored alike whoever compresses, however long that takes, and wherever batches end", async () => {
    const first = await emptyStore();
    await receiveInto(first, busyStream(), { now });
    const expected = await extentsIn(first);
    const late = await emptyStore();
    await receiveInto(late, busyStream(), { packer: slowPacker(), now });
    expect(await extentsIn(late)).toEqual(expected);
    const pieces = await emptyStore();
    await receiveInto(pieces, busyStream(), { packer: slowPacker(), now }, {}, 10_007);
    expect(await extentsIn(pieces)).toEqual(expected);
  });

  test("is stored alike by one thread and by three", async () => {
    const found: string[][] = [];
    for (const threads of [1, 3]) {
      const store = await emptyStore();
      const packer = await openPacker(threads, COMPRESS, 4096);
      await receiveInto(store, busyStream(), { packer, now });
      await packer.close();
      found.push(await extentsIn(store));
    }
    expect(found[1]).toEqual(found[0]);
  });
});

test("what fails is told of the command that it is about, though others were read meanwhile", async () => {
  const stream = concatBytes([
    header(2),
    raw.subvol("s"),
    raw.mkfile("a"),
    writes("a", text(500_000, 1)),
    raw.mkfile("a"),
    ...Array.from({ length: 40 }, (_, file) => [
      raw.mkfile(`f${file}`),
      writes(`f${file}`, text(200_000, file)),
    ]).flat(),
    END,
  ]);
  const store = await emptyStore();
  const error = await receiveInto(store, stream, { packer: slowPacker() }).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "exists", where: { command: "MKFILE", path: "a", commandIndex: 13 } });
  expect(await (await openFilesystem([store])).subvolumes()).toHaveLength(1);
});

test("a thread that ends fails the receive, and leaves the image as it was", async () => {
  const store = await emptyStore();
  let jobs = 0;
  const packer: Packer = {
    run: async (job) => {
      if (++jobs > 2) throw new BtrfsError("io", "Cannot go on: a worker thread ended before its work was done");
      return packPieces(job, encode);
    },
  };
  const error = await receiveInto(store, busyStream(), { packer }).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "io", where: { command: "WRITE" } });
  expect(await (await openFilesystem([store])).subvolumes()).toHaveLength(1);
});

test("an abort ends it while data is being compressed", async () => {
  const store = await emptyStore();
  const controller = new AbortController();
  const packer: Packer = {
    run: () => {
      controller.abort(new Error("enough"));
      return new Promise(() => {});
    },
  };
  const waiting = receiveInto(store, busyStream(), { packer }, { signal: controller.signal }, 65_536);
  await expect(waiting).rejects.toThrow("enough");
  expect(await (await openFilesystem([store])).subvolumes()).toHaveLength(1);
});

async function emptyStore(): Promise<MemoryDevice> {
  const store = new MemoryDevice(new Uint8Array(140 << 20));
  await makeFilesystem(store, { metadata: "single" });
  return store;
}

/** @param chunkBytes Of which the stream comes. */
async function receiveInto(
  store: MemoryDevice,
  stream: Uint8Array,
  target: ImageTargetOptions,
  options: ReceiveOptions = {},
  chunkBytes = stream.byteLength,
): Promise<void> {
  const volume = await openWritableVolume([store]);
  const input = async function* () {
    for (let at = 0; at < stream.byteLength; at += chunkBytes) yield stream.subarray(at, at + chunkBytes);
  };
  await receive(input(), new ImageTarget(volume, { compress: COMPRESS, ...target }), options);
}

/** All extents of subvolume `s`, with what they store. */
async function extentsIn(store: MemoryDevice): Promise<string[]> {
  const filesystem: Filesystem = await openFilesystem([store]);
  const { subvolume } = await filesystem.lookup("s");
  const found: string[] = [];
  for await (const extents of encodedExtentsOf(subvolume, {})) {
    for (const { inode, data, ...io } of extents) {
      const words = Object.entries(io).map(([name, value]) => `${name}=${value}`);
      found.push(`${inode.number} ${words.join(" ")} ${data && Buffer.from(data).toString("base64")}`);
    }
  }
  return found;
}
