import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { crc32cRaw } from "#checksum";
import { streamBytes, streamFixtures } from "../../test/support.ts";
import { dumpStream } from "../receive/dump.ts";
import { ChunkThreads } from "./chunk-threads.ts";
import { FileBlocks } from "./file-blocks.ts";
import { CHUNK_BYTES } from "./shared-ring.ts";

const folder = mkdtempSync(join(tmpdir(), "btrkit-file-blocks-"));
afterAll(() => rmSync(folder, { recursive: true }));

const path = join(folder, "file");

async function withBlocks<T>(use: (blocks: FileBlocks) => Promise<T>, threads = 1, reader?: URL): Promise<T> {
  const fd = openSync(path, "r");
  const blocks = new FileBlocks(new ChunkThreads(fd, threads, reader), path);
  try {
    return await use(blocks);
  } finally {
    await new Promise<void>((resolve) => blocks.close(resolve));
    closeSync(fd);
  }
}

function noise(byteLength: number): Uint8Array {
  const words = new Uint32Array((byteLength + 3) >> 2);
  for (let at = 0; at < words.length; at++) words[at] = Math.imul(at, 2654435761) ^ (at >>> 7);
  return new Uint8Array(words.buffer, 0, byteLength);
}

/** All bytes in a row; of each block, that it stays as it is while the next one is in use. */
async function readWhole(blocks: FileBlocks, pause?: () => Promise<void>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let before: { view: Uint8Array; crc: number } | undefined;
  for (;;) {
    const block = await blocks.nextBlock();
    if (block === undefined) return Buffer.concat(parts);
    await pause?.();
    if (before !== undefined) expect(crc32cRaw(0, before.view)).toBe(before.crc);
    const view = block.bytes.subarray(block.start, block.end);
    before = { view, crc: crc32cRaw(0, view) };
    parts.push(view.slice());
  }
}

describe.each([
  ["alone", 0],
  ["with a thread", 1],
  ["with two", 2],
])("%s", (_, threads) => {
  test("a file of any length comes whole, and a block is left alone while the next is in use", async () => {
    const all = noise(19 * CHUNK_BYTES + 12345);
    for (const length of [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 8 * CHUNK_BYTES, all.byteLength]) {
      writeFileSync(path, all.subarray(0, length));
      const got = await withBlocks((blocks) => readWhole(blocks), threads);
      expect(Buffer.compare(got, all.subarray(0, length))).toBe(0);
    }
  });

  test("it may be used as slowly as one likes", async () => {
    const all = noise(11 * CHUNK_BYTES);
    writeFileSync(path, all);
    const pause = () => new Promise<void>((resolve) => setTimeout(resolve, 25));
    expect(Buffer.compare(await withBlocks((blocks) => readWhole(blocks, pause), threads), all)).toBe(0);
  });

  test("a file that is cut while it is read ends there", async () => {
    writeFileSync(path, noise(30 * CHUNK_BYTES));
    await withBlocks(async (blocks) => {
      await blocks.nextBlock();
      truncateSync(path, 12 * CHUNK_BYTES + 5);
      const rest = await readWhole(blocks);
      // No more than eight chunks were read ahead.
      expect(rest.byteLength).toBe(11 * CHUNK_BYTES + 5);
    }, threads);
  });

  test("what the host refuses is an error by name, after what came before", async () => {
    writeFileSync(path, noise(20 * CHUNK_BYTES));
    const fd = openSync(folder, "r");
    const blocks = new FileBlocks(new ChunkThreads(fd, threads), "the file");
    await expect((async () => blocks.nextBlock())()).rejects.toMatchObject({
      code: "kind",
      sentence: expect.stringContaining("Cannot read the file: "),
    });
    await new Promise<void>((resolve) => blocks.close(resolve));
    closeSync(fd);
  });

  test("streams dump as they do from memory, cut short too", async () => {
    // Starting a thread takes a while: of large streams, see `checked-blocks.test.ts`.
    const names = streamFixtures().map(({ name }) => name);
    for (const name of names.filter((_, n) => threads === 0 || n % 5 === 0)) {
      const bytes = streamBytes(name);
      for (const length of [bytes.byteLength, bytes.byteLength - 1, bytes.byteLength >> 1]) {
        writeFileSync(path, bytes.subarray(0, length));
        const dumped = await withBlocks((blocks) => dumpOf(blocks), threads);
        expect(dumped).toEqual(await dumpOf(bytes.subarray(0, length)));
      }
    }
  });
});

test("a thread that fails, and a chunk that it leaves undone, hold nothing up", async () => {
  const all = noise(20 * CHUNK_BYTES);
  writeFileSync(path, all);
  const dying = new URL("data:text/javascript,throw new Error('no')");
  // Claims two chunks and goes away.
  const leaving = `import { workerData } from "node:worker_threads"; Atomics.add(workerData.ring.words, 0, 2);`;
  for (const reader of [new URL("file:///nowhere.js"), dying, new URL(`data:text/javascript,${leaving}`)]) {
    const pause = () => new Promise<void>((resolve) => setTimeout(resolve, 10));
    const got = await withBlocks((blocks) => readWhole(blocks, pause), 1, reader);
    expect(Buffer.compare(got, all)).toBe(0);
  }
});

test("closing in the middle ends the thread", async () => {
  writeFileSync(path, noise(30 * CHUNK_BYTES));
  await withBlocks(async (blocks) => {
    await blocks.nextBlock();
    await new Promise((resolve) => setTimeout(resolve, 100));
  });
});

async function dumpOf(input: FileBlocks | Uint8Array): Promise<unknown> {
  const texts: Buffer[] = [];
  const errors: string[] = [];
  const reason = await dumpStream(input, async (text) => void texts.push(Buffer.from(text)), {
    allSegments: true,
    onError: (sentence) => errors.push(Buffer.from(sentence).toString("latin1")),
  });
  return { reason, errors, text: Buffer.concat(texts).toString("latin1") };
}
