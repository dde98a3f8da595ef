import { createReadStream } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { crc32cRaw } from "#checksum";
import { streamBytes } from "../../test/support.ts";
import { concatBytes, toBytes } from "../bytes/bytes.ts";
import { readBatches, type StreamProgress } from "./reader.ts";
import { type BlockSource, HEADROOM_BYTES, type PullSource, type StreamInput } from "./source.ts";
import { StreamWriter } from "./writer.ts";

/** Where each command begins, and a checksum over its bytes. */
async function outlineOf(input: StreamInput): Promise<number[]> {
  const outline: number[] = [];
  for await (const batch of readBatches(input)) {
    for (let i = 0; i < batch.count; i++) {
      const payload = batch.bytes.subarray(batch.payloadAt(i), batch.payloadAt(i) + batch.payloadLength(i));
      outline.push(batch.streamOffset(i), batch.type(i), crc32cRaw(0, payload));
    }
  }
  return outline;
}

/** Gives as much as it is asked for, from memory. */
function pullFromBytes(bytes: Uint8Array, atMost = Number.POSITIVE_INFINITY): PullSource {
  let at = 0;
  return {
    read(target) {
      const count = Math.min(target.byteLength, bytes.byteLength - at, atMost);
      target.set(bytes.subarray(at, at + count));
      at += count;
      return count;
    },
  };
}

/** A version 2 stream of commands from 20 bytes to 3 MiB, about 12 MiB long. */
async function mixedStream(): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const writer = new StreamWriter({ write: (chunk) => void chunks.push(chunk.slice()) }, { version: 2 });
  const data = Uint8Array.from({ length: 3 * 1024 * 1024 }, (_, at) => Math.imul(at, 2654435761) >>> 24);
  writer.begin();
  for (const size of [1, 300_000, 10, 3 * 1024 * 1024, 131072, 131072, 262144, 2_000_000, 0, 1_300_000]) {
    for (let i = 0; i < 500; i++) writer.write({ name: "unlink", path: toBytes(`name ${i}`) });
    writer.write({ name: "write", path: toBytes("f"), fileOffset: 0n, data: data.subarray(0, size) });
  }
  for (let i = 0; i < 40; i++) {
    writer.write({ name: "write", path: toBytes("g"), fileOffset: BigInt(i), data: data.subarray(i, 131072 + i) });
  }
  writer.end();
  await writer.flush();
  return concatBytes(chunks);
}

test("every kind of input gives the same commands", async () => {
  const file = join(import.meta.dirname, "../../test/fixtures/streams/full-v2.stream");
  const bytes = streamBytes("full-v2");
  const expected = await outlineOf(bytes);
  expect(expected.length).toBeGreaterThan(300);
  expect(await outlineOf([bytes])).toEqual(expected);
  expect(await outlineOf(createReadStream(file))).toEqual(expected);
  expect(await outlineOf(Readable.from([bytes.subarray(0, 100), bytes.subarray(100)]))).toEqual(expected);
  expect(await outlineOf(new Blob([Uint8Array.from(bytes)]).stream())).toEqual(expected);
  expect(await outlineOf(pullFromBytes(bytes))).toEqual(expected);
  const inner = pullFromBytes(bytes);
  expect(await outlineOf({ read: async (target) => inner.read(target) })).toEqual(expected);
});

test("a web stream that can't be iterated is read through its reader, and cancelled when reading stops early", async () => {
  const bytes = streamBytes("small-v1");
  let cancelled = false;
  const stream = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(bytes.subarray(0, 1000)),
    cancel: () => {
      cancelled = true;
    },
  });
  for await (const batch of readBatches({
    getReader: () => stream.getReader(),
  } as unknown as ReadableStream<Uint8Array>)) {
    expect(batch.count).toBeGreaterThan(0);
    break;
  }
  await new Promise((resolve) => setTimeout(resolve, 10));
  expect(cancelled).toBe(true);
});

test("commands larger than a block, and cut anywhere, come out whole", async () => {
  const bytes = await mixedStream();
  const expected = await outlineOf(bytes);
  for (const atMost of [1000, 65536, 100_000, 1_000_000, Number.POSITIVE_INFINITY]) {
    expect(await outlineOf(pullFromBytes(bytes, atMost))).toEqual(expected);
  }
});

/** Blocks one behind the other in a ring. What is not lent any more is spoilt at once. */
function blocksOf(bytes: Uint8Array, blockBytes: number, slots: number): BlockSource {
  const memory = new Uint8Array(HEADROOM_BYTES + slots * blockBytes);
  const startOf = (block: number) => HEADROOM_BYTES + (block % slots) * blockBytes;
  let next = 0;
  return {
    nextBlock() {
      const block = next++;
      const content = bytes.subarray(block * blockBytes, (block + 1) * blockBytes);
      for (let other = 0; other < slots; other++) {
        if (block > 0 && (block - 1 - other) % slots === 0) continue;
        memory.fill(0xaa, startOf(other), startOf(other) + blockBytes);
      }
      memory.set(content, startOf(block));
      if (content.byteLength === 0) return undefined;
      const given = { bytes: memory, start: startOf(block), end: startOf(block) + content.byteLength };
      return block % 3 === 0 ? Promise.resolve(given) : given;
    },
  };
}

test("commands come out whole of blocks that are lent for a while, whatever their size", async () => {
  const bytes = await mixedStream();
  const expected = await outlineOf(bytes);
  for (const [blockBytes, slots] of [
    [HEADROOM_BYTES, 2],
    [HEADROOM_BYTES, 5],
    [300_001, 3],
    [512 * 1024, 8],
    [1_000_000, 2],
    [4_000_000, 4],
  ] as const) {
    expect(await outlineOf(blocksOf(bytes, blockBytes, slots))).toEqual(expected);
  }
});

// A block's places are of its own bytes: behind a long command they are copied elsewhere, where the same number is another command.
test("what a block says is sound is not believed of other places, once its bytes are moved", async () => {
  const chunks: Uint8Array[] = [];
  const writer = new StreamWriter({ write: (chunk) => void chunks.push(chunk.slice()) }, { version: 2 });
  const name = toBytes("name 0");
  const commandBytes = 10 + 4 + name.byteLength;
  const ends: number[] = [];
  writer.begin();
  writer.write({ name: "write", path: toBytes("f"), fileOffset: 0n, data: new Uint8Array(HEADROOM_BYTES + 5000) });
  await writer.flush();
  const first = chunks.reduce((sum, { byteLength }) => sum + byteLength, 0);
  for (let i = 0; i < 1000; i++) ends.push(first + i * commandBytes);
  for (let i = 0; i < 1000; i++) writer.write({ name: "unlink", path: name });
  writer.end();
  await writer.flush();
  const bytes = concatBytes(chunks);

  // The unfinished command moves to the front of a larger buffer, and the second block comes behind it: `moved` bytes further back.
  const cut = 17 + HEADROOM_BYTES + 50 * commandBytes;
  const moved = 50 * commandBytes;
  const damaged = ends[100]!;
  bytes[damaged + 15]! ^= 1;
  const room = new Uint8Array(HEADROOM_BYTES + bytes.byteLength - cut);
  room.set(bytes.subarray(cut), HEADROOM_BYTES);
  const soundFrom = HEADROOM_BYTES + damaged - cut + moved;
  const blocks = [
    { bytes: bytes.slice(0, cut), start: 0, end: cut },
    { bytes: room, start: HEADROOM_BYTES, end: room.byteLength, soundFrom, soundTo: room.byteLength },
  ];
  await expect(outlineOf({ nextBlock: () => blocks.shift() })).rejects.toMatchObject({
    code: "checksum",
    where: { streamOffset: damaged },
  });
});

// The next block is being read while a batch is lent; the batch must not notice.
test("the next read is under way while a batch is used, and leaves its bytes alone", async () => {
  const bytes = await mixedStream();
  const inner = pullFromBytes(bytes);
  let underWay = 0;
  let overlapped = 0;
  const source: PullSource = {
    async read(target) {
      expect(++underWay).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 1));
      const count = await inner.read(target);
      underWay--;
      return count;
    },
  };
  for await (const batch of readBatches(source)) {
    if (underWay === 1) overlapped++;
    const checksum = () => crc32cRaw(0, batch.bytes.subarray(batch.headerAt(0), batch.payloadAt(batch.count - 1)));
    const before = checksum();
    await new Promise((resolve) => setTimeout(resolve, 3));
    expect(checksum()).toBe(before);
  }
  expect(overlapped).toBeGreaterThan(5);
});

test("a slow consumer is not read ahead of by more than one block", async () => {
  const bytes = await mixedStream();
  const inner = pullFromBytes(bytes);
  let taken = 0;
  const source: PullSource = {
    async read(target) {
      const count = await inner.read(target);
      taken += count;
      return count;
    },
  };
  for await (const batch of readBatches(source)) {
    await new Promise((resolve) => setImmediate(resolve));
    const used = batch.streamOffset(batch.count - 1) + batch.payloadLength(batch.count - 1);
    // One block in hand, one under way, and at most one command of 3 MiB unfinished.
    expect(taken - used).toBeLessThan(2 * 1024 * 1024 + 3.2 * 1024 * 1024);
  }
});

test("an abort ends a read that would never answer", async () => {
  const abort = new AbortController();
  const hanging: PullSource = { read: () => new Promise(() => {}) };
  setTimeout(() => abort.abort(new Error("stopped")), 5);
  await expect(readBatches(hanging, { signal: abort.signal }).next()).rejects.toThrow("stopped");
  await expect(readBatches(hanging, { signal: AbortSignal.abort(new Error("at once")) }).next()).rejects.toThrow(
    "at once",
  );
});

test("an abort is seen between two batches of bytes in memory", async () => {
  const abort = new AbortController();
  await expect(async () => {
    for await (const _ of readBatches(streamBytes("two-v1"), { signal: abort.signal }))
      abort.abort(new Error("stopped"));
  }).rejects.toThrow("stopped");
});

test("an iterable is closed when reading stops early, also by an error", async () => {
  let closed = 0;
  async function* endless() {
    try {
      for (;;) yield streamBytes("small-v1");
    } finally {
      closed++;
    }
  }
  for await (const batch of readBatches(endless())) {
    expect(batch.count).toBeGreaterThan(0);
    break;
  }
  await expect(async () => {
    for await (const _ of readBatches(Readable.from([toBytes("no stream at all")])));
  }).rejects.toThrow("there is no stream header");
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(closed).toBe(1);
});

test("what the input throws passes through, after the commands before it", async () => {
  const failure = new Error("cable cut");
  async function* broken() {
    yield streamBytes("small-v1").subarray(0, 5000);
    throw failure;
  }
  let commands = 0;
  await expect(async () => {
    for await (const batch of readBatches(broken())) commands += batch.count;
  }).rejects.toBe(failure);
  expect(commands).toBeGreaterThan(5);
});

test("wrong sources are refused", async () => {
  for (const count of [-1, 1e9, Number.NaN]) {
    await expect(readBatches({ read: () => count }).next()).rejects.toThrow(RangeError);
  }
  await expect(readBatches(["text"] as unknown as Uint8Array[]).next()).rejects.toThrow(TypeError);
  await expect(readBatches({} as PullSource).next()).rejects.toThrow(TypeError);
});

test("progress counts bytes and commands, up to the whole", async () => {
  const bytes = streamBytes("two-v1");
  const seen: StreamProgress[] = [];
  let commands = 0;
  for await (const batch of readBatches([bytes], { onProgress: (progress) => seen.push(progress) }))
    commands += batch.count;
  expect(seen.at(-1)).toEqual({ bytes: bytes.byteLength, commands });
});

test("segments are told apart, empty ones too", async () => {
  const bytes = streamBytes("two-v1");
  const segments = new Map<number, string[]>();
  const end = Uint8Array.of(0, 0, 0, 0, 0x15, 0, 0x50, 0x6c, 0xc9, 0x9d);
  const withEmpty = concatBytes([bytes, bytes.subarray(0, 17), bytes.subarray(0, 17), end]);
  let last: string[] = [];
  for await (const { segment, count } of readBatches(withEmpty, { allowMissingEnd: true })) {
    last = segments.get(segment.index) ?? [];
    segments.set(segment.index, [...last, `${segment.streamOffset} ${segment.state} ${count}`]);
  }
  expect(segments.size).toBe(4);
  expect(segments.get(0)!.at(-1)).toMatch(/^0 end /);
  expect(segments.get(2)).toEqual([`${bytes.byteLength} missing 0`]);
  expect(segments.get(3)).toEqual([`${bytes.byteLength + 17} end 1`]);
});
