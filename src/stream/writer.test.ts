import { expect, test } from "vitest";
import { concatBytes, hex, toBytes } from "../bytes/bytes.ts";
import type { Command } from "./commands.ts";
import { readBatches, readStream } from "./reader.ts";
import { StreamWriter } from "./writer.ts";

function writerOf(version: 1 | 2 | 3, chunkBytes?: number) {
  const chunks: Uint8Array[] = [];
  const sink = { write: (chunk: Uint8Array) => void chunks.push(chunk.slice()) };
  const writer = new StreamWriter(sink, chunkBytes === undefined ? { version } : { version, chunkBytes });
  return { writer, chunks };
}

const path = toBytes("f");

test("the bytes are those of a kernel", async () => {
  const { writer, chunks } = writerOf(1);
  writer.begin();
  writer.end();
  await writer.flush();
  expect(hex(concatBytes(chunks))).toBe("62747266732d73747265616d0001000000000000001500506cc99d");
});

test("what a version can't carry is refused, and leaves no trace", async () => {
  const { writer, chunks } = writerOf(1);
  writer.begin();
  const before = writer.pendingBytes;
  const time = { seconds: 0n, nanoseconds: 0 };
  const refused: [Command, string][] = [
    [{ name: "fileattr", path, fileattr: 0n }, "version is 1, it needs 2"],
    [{ name: "utimes", path, atime: time, mtime: time, ctime: time, otime: time }, "version is 1, OTIME needs 2"],
    [{ name: "write", path, fileOffset: 0n, data: new Uint8Array(65536) }, "version 1 carries at most 65535"],
    [{ name: "unlink", path: new Uint8Array(4096) }, "PATH has 4096 bytes, at most 4095 fit"],
  ];
  for (const [command, sentence] of refused) expect(() => writer.write(command)).toThrow(sentence);
  expect(() => writer.write({ name: "mkfile", path, ino: 2n ** 64n })).toThrow(RangeError);
  expect(() => writer.write({ name: "mkfile", path, ino: -1n })).toThrow(RangeError);
  expect(() => writer.write({ name: "mkfile", path } as Command)).toThrow(TypeError);
  expect(writer.pendingBytes).toBe(before);
  writer.write({ name: "write", path, fileOffset: 0n, data: new Uint8Array(65535) });
  writer.end();
  await writer.flush();
  for await (const batch of readBatches(concatBytes(chunks))) expect(batch.count).toBe(2);
});

test("DATA of any length goes last from version 2 on", async () => {
  const { writer, chunks } = writerOf(2);
  writer.begin();
  const data = new Uint8Array(1_000_000).fill(7);
  writer.write({ name: "write", path, fileOffset: 5n, data, layout: ["data", "path", "fileOffset"] });
  writer.end();
  await writer.flush();
  for await (const item of readStream(concatBytes(chunks))) {
    if (item.name !== "write") continue;
    expect(Buffer.compare(item.data, data)).toBe(0);
    expect(item.fileOffset).toBe(5n);
  }
  expect.assertions(2);
});

test("commands go into segments only", () => {
  const { writer } = writerOf(1);
  expect(() => writer.end()).toThrow("no segment is open");
  writer.begin();
  writer.end();
  expect(() => writer.end()).toThrow("no segment is open");
});

// The sink is slow, and its chunks must not change under it.
test("chunks are large, stay as they are until the sink is done, and memory stays bounded", async () => {
  const received: number[] = [];
  let under = 0;
  const sink = {
    async write(chunk: Uint8Array) {
      expect(++under).toBe(1);
      const before = chunk.slice();
      await new Promise((resolve) => setTimeout(resolve, 1));
      expect(Buffer.compare(chunk, before)).toBe(0);
      received.push(chunk.byteLength);
      under--;
    },
  };
  const writer = new StreamWriter(sink, { version: 1, chunkBytes: 10_000 });
  writer.begin();
  let most = 0;
  for (let i = 0; i < 3000; i++) {
    writer.write({ name: "write", path, fileOffset: BigInt(i), data: new Uint8Array(100).fill(i) });
    await writer.drain();
    most = Math.max(most, writer.pendingBytes);
  }
  writer.end();
  await writer.flush();
  expect(Math.min(...received.slice(0, -1))).toBeGreaterThanOrEqual(10_000);
  expect(most).toBeLessThan(11_000);
  expect(received.reduce((sum, length) => sum + length)).toBe(17 + 3000 * (10 + 5 + 12 + 104) + 10);
});

test("what the sink throws comes out of the next drain or flush", async () => {
  const sink = { write: () => Promise.reject(new Error("disk is full")) };
  const writer = new StreamWriter(sink, { version: 1, chunkBytes: 1 });
  writer.begin();
  await writer.drain();
  await expect(writer.flush()).rejects.toThrow("disk is full");
});

test("commands are copied only into a segment of their own version", async () => {
  const source = writerOf(1);
  source.writer.begin();
  source.writer.end();
  await source.writer.flush();
  for await (const batch of readBatches(concatBytes(source.chunks))) {
    const { writer } = writerOf(2);
    expect(() => writer.writeRaw(batch)).toThrow("no segment is open");
    writer.begin();
    expect(() => writer.writeRaw(batch)).toThrow("version is 1, the segment has 2");
    writer.begin(1);
    expect(() => writer.writeRaw(batch)).not.toThrow();
  }
});
