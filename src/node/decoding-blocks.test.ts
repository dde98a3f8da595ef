import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import { afterAll, expect, test } from "vitest";
import { loadCodec } from "#codec";
import { commandOf, END, stream, u32, u64 } from "../../test/support/raw-stream.ts";
import { concatBytes, toBytes } from "../bytes/bytes.ts";
import type { BlockSource } from "../stream/source.ts";
import { StreamWriter } from "../stream/writer.ts";
import { verifyStreams } from "../verify/verify.ts";
import { ChunkThreads, DECODING } from "./chunk-threads.ts";
import { openDecodingBlocks } from "./decoding-blocks.ts";

const folder = mkdtempSync(join(tmpdir(), "btrkit-decoding-blocks-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, "stream");

const EXTENT = 131_072;

/** About 5 MiB of encoded writes by all algorithms; `spoil` may change one. */
async function encodedStream(spoil?: (write: number, encoded: EncodedWrite) => EncodedWrite): Promise<Uint8Array> {
  const plain = new Uint8Array(EXTENT);
  let noise = 1;
  for (let at = 0; at < EXTENT; at++) {
    noise = Math.imul(noise, 1103515245) + 12345;
    plain[at] = at % 3 === 0 ? noise >>> 24 : 97;
  }
  const stored: EncodedWrite[] = [];
  for (const [algorithm, compression] of [
    ["zlib", 1],
    ["zstd", 2],
    ["lzo", 3],
  ] as const) {
    const output = new Uint8Array(EXTENT);
    const length = (await loadCodec(algorithm)).encode(plain, output, { sectorSize: 4096 });
    stored.push({
      compression,
      unencodedLen: BigInt(EXTENT),
      unencodedOffset: 0n,
      encryption: 0,
      data: output.slice(0, length),
    });
  }
  const chunks: Uint8Array[] = [];
  const writer = new StreamWriter({ write: (chunk) => void chunks.push(chunk.slice()) }, { version: 2 });
  writer.begin();
  writer.write({ name: "subvol", path: toBytes("s"), uuid: new Uint8Array(16).fill(7), ctransid: 9n });
  writer.write({ name: "mkfile", path: toBytes("f"), ino: 257n });
  for (let i = 0; i < 100; i++) {
    const encoded = stored[i % 3]!;
    const { compression, encryption, ...rest } = spoil?.(i, encoded) ?? encoded;
    const place = { path: toBytes("f"), fileOffset: BigInt(i * EXTENT), unencodedFileLen: BigInt(EXTENT) };
    writer.write({ name: "encodedWrite", ...place, ...rest, compression, encryption });
  }
  writer.end();
  await writer.flush();
  return concatBytes(chunks);
}

interface EncodedWrite {
  readonly compression: number;
  readonly unencodedLen: bigint;
  readonly unencodedOffset: bigint;
  readonly encryption: number;
  readonly data: Uint8Array;
}

async function withBlocks<T>(bytes: Uint8Array, use: (blocks: BlockSource) => Promise<T>, others = 1): Promise<T> {
  writeFileSync(path, bytes);
  const fd = openSync(path, "r");
  const blocks = await openDecodingBlocks(new ChunkThreads(fd, others, DECODING), path);
  try {
    return await use(blocks);
  } finally {
    await new Promise<void>((resolve) => blocks.close(resolve));
    closeSync(fd);
  }
}

test.each([0, 1, 2])("what lies whole in a block comes decoded, with %d more threads", async (others) => {
  const bytes = await encodedStream();
  let decoded = 0;
  await withBlocks(
    bytes,
    async (blocks) => {
      for (let block = await blocks.nextBlock(); block !== undefined; block = await blocks.nextBlock()) {
        expect(block.decodedTo).toBe(block.soundTo);
        // When one of several threads has ended, the last block may be read again, unchecked, rather than waited for.
        decoded += (block.decodedTo ?? 0) - (block.soundFrom ?? 0);
      }
    },
    others,
  );
  expect(decoded).toBeGreaterThan(bytes.byteLength * 0.6);
});

test("every write that does not decode is told just as of a stream in memory, and all are counted", async () => {
  const spoils: ((encoded: EncodedWrite) => EncodedWrite)[] = [
    (encoded) => encoded,
    (encoded) => ({ ...encoded, data: encoded.data.map((byte, at) => (at === 3000 ? byte ^ 0xff : byte)) }),
    (encoded) => ({ ...encoded, data: encoded.data.subarray(0, -20) }),
    (encoded) => ({ ...encoded, data: new Uint8Array(0) }),
    (encoded) => ({ ...encoded, compression: 9 }),
    (encoded) => ({ ...encoded, compression: 1 + (encoded.compression % 3) }),
    (encoded) => ({ ...encoded, encryption: 1 }),
    (encoded) => ({ ...encoded, unencodedLen: BigInt(EXTENT - 1) }),
    (encoded) => ({ ...encoded, unencodedLen: 2n ** 40n }),
    (encoded) => ({ ...encoded, unencodedOffset: 4096n }),
    (encoded) => ({ ...encoded, unencodedOffset: 4096n, unencodedLen: BigInt(EXTENT + 4096) }),
    // Decodes, to less than its part of the file needs.
    (encoded) => ({ ...encoded, compression: 1, data: deflateSync(new Uint8Array(EXTENT - 1)) }),
  ];
  const bytes = await encodedStream((write, encoded) =>
    write % 8 === 7 ? spoils[(write >> 3) % spoils.length]!(encoded) : encoded,
  );
  const expected = await verifyStreams([bytes]);
  expect(expected.faults.length).toBe(spoils.length - 1);
  expect(await withBlocks(bytes, (blocks) => verifyStreams([blocks]))).toEqual(expected);
});

test("a version that the header does not say is no reason to believe what was decoded", async () => {
  const bytes = await encodedStream();
  for (const version of [1, 3]) {
    bytes[13] = version;
    const expected = await verifyStreams([bytes]);
    expect(await withBlocks(bytes, (blocks) => verifyStreams([blocks]))).toEqual(expected);
  }
});

test("what decodes only as version 2 reads it is a fault in version 1", async () => {
  // The first two bytes of a zlib stream are taken for the length of DATA, and the rest is none.
  const zlib = deflateSync(new Uint8Array(EXTENT));
  const length = zlib[0]! | (zlib[1]! << 8);
  const data = new Uint8Array(length);
  data.set(zlib.subarray(2));
  const bytes = stream(
    1,
    commandOf(1, 1, [
      [15, "s"],
      [1, new Uint8Array(16).fill(7)],
      [2, u64(9)],
    ]),
    commandOf(1, 3, [
      [15, "f"],
      [3, u64(257)],
    ]),
    commandOf(1, 25, [
      [15, "f"],
      [18, u64(0)],
      [27, u64(EXTENT)],
      [28, u64(EXTENT)],
      [29, u64(0)],
      [30, u32(1)],
      [19, data],
    ]),
    END,
  );
  const expected = await verifyStreams([bytes]);
  expect(expected.faults.map(({ command }) => command)).toEqual(["ENCODED_WRITE"]);
  expect(await withBlocks(bytes, (blocks) => verifyStreams([blocks]))).toEqual(expected);
});

test("of a source that says too much, only what lies whole where it says is believed to decode", async () => {
  const bytes = await encodedStream((write, encoded) =>
    write === 50 ? { ...encoded, data: new Uint8Array(0) } : encoded,
  );
  const expected = await verifyStreams([bytes]);
  const [fault] = expected.faults;
  const source = (decodedTo: number): BlockSource => {
    const blocks = [{ bytes, start: 0, end: bytes.byteLength, soundFrom: 17, soundTo: bytes.byteLength, decodedTo }];
    return { nextBlock: () => blocks.shift() };
  };
  expect(await verifyStreams([source(fault!.streamOffset + 11)])).toEqual(expected);
  expect((await verifyStreams([source(bytes.byteLength)])).sound).toBe(true);
});
