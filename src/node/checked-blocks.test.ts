import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { concatBytes, toBytes, viewOf } from "../bytes/bytes.ts";
import { dumpStream } from "../receive/dump.ts";
import { commandCrc } from "../stream/crc.ts";
import type { StreamInput } from "../stream/source.ts";
import { StreamWriter } from "../stream/writer.ts";
import { verifyStreams } from "../verify/verify.ts";
import { ChunkThreads } from "./chunk-threads.ts";
import { FileBlocks } from "./file-blocks.ts";
import { CHUNK_BYTES } from "./shared-ring.ts";

const folder = mkdtempSync(join(tmpdir(), "btrkit-checked-blocks-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, "stream");

/** Two segments, with commands from 20 bytes up to more than a chunk. */
let stream: Uint8Array;
/** Where each command begins, and where the last one ends; those that begin behind a stream header. */
const places: number[] = [];
const firsts: number[] = [];

beforeAll(async () => {
  const chunks: Uint8Array[] = [];
  const writer = new StreamWriter({ write: (chunk) => void chunks.push(chunk.slice()) }, { version: 2 });
  const data = new Uint8Array(CHUNK_BYTES + 5000).fill(0x5a);
  for (let segment = 0; segment < 2; segment++) {
    writer.begin();
    writer.write({ name: "subvol", path: toBytes(`s${segment}`), uuid: new Uint8Array(16).fill(7), ctransid: 9n });
    for (let file = 0; file < 30; file++) {
      writer.write({ name: "mkfile", path: toBytes(`file ${file}`), ino: BigInt(file + 257) });
      for (let i = 0; i < 60; i++) writer.write({ name: "chmod", path: toBytes(`file ${file}`), mode: BigInt(i) });
      const length = file === 17 ? CHUNK_BYTES + 5000 : (file * 48_611) % 190_000;
      writer.write({ name: "write", path: toBytes(`file ${file}`), fileOffset: 0n, data: data.subarray(0, length) });
    }
    writer.end();
  }
  await writer.flush();
  stream = concatBytes(chunks);
  const view = viewOf(stream);
  for (let at = 0; at < stream.byteLength; at += 10 + view.getUint32(at, true)) {
    if (stream[at] === 0x62 && stream[at + 1] === 0x74) {
      at += 17;
      firsts.push(at);
    }
    places.push(at);
  }
  places.push(stream.byteLength);
});

async function withBlocks<T>(bytes: Uint8Array, use: (blocks: FileBlocks) => Promise<T>, thread = true): Promise<T> {
  writeFileSync(path, bytes);
  const fd = openSync(path, "r");
  const blocks = new FileBlocks(new ChunkThreads(fd, thread ? 1 : 0), path);
  try {
    return await use(blocks);
  } finally {
    await new Promise<void>((resolve) => blocks.close(resolve));
    closeSync(fd);
  }
}

async function dumpOf(input: StreamInput): Promise<unknown> {
  const texts: Buffer[] = [];
  const errors: string[] = [];
  const reason = await dumpStream(input, async (text) => void texts.push(Buffer.from(text)), {
    allSegments: true,
    maxErrors: 0,
    onError: (sentence) => errors.push(Buffer.from(sentence).toString("latin1")),
  });
  return { reason, errors, text: Buffer.concat(texts).toString("latin1") };
}

test.each([true, false])(
  "all commands that lie whole in a block are checked when it comes, with a second thread: %s",
  async (thread) => {
    await withBlocks(
      stream,
      async (blocks) => {
        let before = 0;
        for (let block = await blocks.nextBlock(); block !== undefined; block = await blocks.nextBlock()) {
          const { bytes, start, end, soundFrom = 0, soundTo = 0 } = block;
          const whole = places.filter((at, n) => at >= before && (places[n + 1] ?? Infinity) <= before + end - start);
          // Behind a stream header the reader takes the checksums itself, up to the end of the block.
          const next = firsts.find((at) => at > whole[0]!) ?? Infinity;
          const last = whole.findLast((at) => at < next);
          if (whole.length > 0) expect(soundFrom - start + before).toBe(whole[0]);
          else expect(soundTo).toBe(soundFrom);
          if (last !== undefined) {
            const length = viewOf(bytes).getUint32(last - before + start, true);
            expect(soundTo - start + before).toBe(last + 10 + length);
          }
          before += end - start;
        }
        expect(before).toBe(stream.byteLength);
      },
      thread,
    );
  },
);

test("damage anywhere is told just as of a stream in memory", async () => {
  const spots: number[] = [];
  for (let chunk = 1; chunk * CHUNK_BYTES < stream.byteLength; chunk++) {
    const edge = chunk * CHUNK_BYTES;
    const cut = places.findLast((at) => at < edge)!;
    // In the command across the edge: its header, its data before and behind the edge; then the first and last of the next chunk.
    spots.push(cut, cut + 3, cut + 5, cut + 7, edge - 1, edge, places.find((at) => at > edge)! + 12);
  }
  for (const spot of spots.filter((_, n) => n % 4 === 0)) {
    const damaged = stream.slice();
    damaged[spot]! ^= 4;
    const expected = [await dumpOf(damaged), await verifyStreams([damaged])];
    const got = [await withBlocks(damaged, dumpOf), await withBlocks(damaged, (blocks) => verifyStreams([blocks]))];
    expect(got).toEqual(expected);
  }
});

test("a header in two chunks, a cut stream, and two streams in one, are read as from memory", async () => {
  for (let shift = 1; shift <= 12; shift += 3) {
    // A segment in front, so long that a header begins `shift` bytes before the end of a chunk.
    const chunks: Uint8Array[] = [];
    const writer = new StreamWriter({ write: (chunk) => void chunks.push(chunk.slice()) }, { version: 2 });
    writer.begin();
    for (let left = CHUNK_BYTES - shift - 17; left > 0; ) {
      const length = left > 4050 ? 4000 : left - 14;
      writer.write({ name: "rmdir", path: new Uint8Array(length).fill(97) });
      left -= length + 14;
    }
    writer.end();
    await writer.flush();
    const bytes = concatBytes([...chunks, stream]);
    expect(await withBlocks(bytes, dumpOf)).toEqual(await dumpOf(bytes));
    const cut = bytes.subarray(0, bytes.byteLength - shift * 100_000);
    expect(await withBlocks(cut, dumpOf)).toEqual(await dumpOf(cut));
  }
});

test("of a source that says too much, only what begins where it says is believed", async () => {
  const damaged = stream.slice();
  damaged[places[40]! + 20]! ^= 1;
  const whole = (soundFrom: number, soundTo: number): StreamInput => {
    const blocks = [{ bytes: damaged, start: 0, end: damaged.byteLength, soundFrom, soundTo }];
    return { nextBlock: () => blocks.shift() };
  };
  const expected = await dumpOf(damaged);
  // One byte beside a command; ending inside of one.
  expect(await dumpOf(whole(places[40]! - 1, damaged.byteLength))).toEqual(expected);
  expect(await dumpOf(whole(17, places[41]! - 1))).toEqual(expected);
  const view = viewOf(damaged);
  expect(commandCrc(damaged, places[40]!, view.getUint32(places[40]!, true))).not.toBe(
    view.getUint32(places[40]! + 6, true),
  );
});
