import { expect, test } from "vitest";
import { type Codecs, loadCodecs } from "#codec";
import { CorruptError } from "../errors.ts";
import { COMPRESS_NONE, COMPRESS_ZSTD, FILE_EXTENT_INLINE, FILE_EXTENT_REG } from "../format/file-extent.ts";
import { HEADER_BYTES, NodeBlock } from "../format/node.ts";
import { ATTRIBUTES } from "../stream/attributes.ts";
import { COMMANDS } from "../stream/commands.ts";
import { readStream } from "../stream/index.ts";
import { ChunkQueue } from "./chunk-queue.ts";
import { FileData } from "./file-data.ts";
import type { FileItem } from "./file-item.ts";
import { DataFiller } from "./fill.ts";
import { CommandOutput } from "./output.ts";
import type { DataSource } from "./source.ts";

const SECTOR = 4096;
const DISK_BYTES = 1 << 20;

/** Each stored byte is the low byte of its address divided by 16. */
const source: DataSource & { isData(logical: number, length: number): boolean } = {
  sectorSize: SECTOR,
  codecs: (): Promise<Codecs> => loadCodecs(),
  isData: (logical, length) => logical + length <= DISK_BYTES,
  readStored({ diskBytenr }, from, target) {
    if (from % SECTOR !== 0 || target.byteLength % SECTOR !== 0) throw new Error("not in sectors");
    for (let at = 0; at < target.byteLength; at++) target[at] = byteAt(diskBytenr + from + at);
  },
};

const byteAt = (logical: number): number => (logical >> 4) & 0xff;

function item(fields: Partial<FileItem>): FileItem {
  return {
    leaf: new NodeBlock(new Uint8Array(HEADER_BYTES + 100)),
    slot: 0,
    type: FILE_EXTENT_REG,
    start: 8192,
    end: 8192 + 65536,
    compression: COMPRESS_NONE,
    generation: 7,
    ramBytes: 131_072,
    diskBytenr: 40_960,
    diskNumBytes: 131_072,
    offset: 4096,
    inline: undefined,
    ...fields,
  };
}

/** What WRITEs of these ranges carry, as a reader of the stream sees it: with every checksum right. */
async function written(ranges: readonly [FileItem, offset: number, length: number][]): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  const queue = new ChunkQueue(new DataFiller(source), { write: (chunk) => void chunks.push(chunk.slice()) });
  const out = new CommandOutput(queue, 2);
  const data = new FileData(source, out);
  out.streamHeader();
  for (const [one, offset, length] of ranges) {
    out.begin(COMMANDS.write);
    out.path(ATTRIBUTES.path, Uint8Array.of(97));
    out.number(ATTRIBUTES.fileOffset, offset);
    data.plain(one, offset, length, 257, true);
    out.end();
  }
  out.begin(COMMANDS.end);
  out.end();
  await out.flush();
  const found: Uint8Array[] = [];
  for await (const command of readStream(Buffer.concat(chunks))) {
    if (command.name === "write") found.push(command.data.slice());
  }
  return found;
}

test("writes what the file has at an offset, also from the middle of a sector and up to one", async () => {
  const ranges = [
    [8192, 4096],
    [8192, 100],
    [12_288, 5000],
    [9000, 300],
  ] as const;
  const found = await written(ranges.map(([offset, length]) => [item({}), offset, length]));
  for (const [index, [offset, length]] of ranges.entries()) {
    const first = 40_960 + 4096 + offset - 8192;
    expect([...found[index]!]).toEqual(Array.from({ length }, (_, at) => byteAt(first + at)));
  }
});

test("a hole is zeros, and so is what lies behind inline data", async () => {
  const inline = Uint8Array.of(1, 2, 3);
  const short = item({ type: FILE_EXTENT_INLINE, start: 0, end: 4096, offset: 0, ramBytes: 3, diskBytenr: 0, inline });
  const found = await written([
    [item({ diskBytenr: 0 }), 8192, 50],
    [short, 1, 4],
  ]);
  expect([...found[0]!]).toEqual(new Array(50).fill(0));
  expect([...found[1]!]).toEqual([2, 3, 0, 0]);
});

test("of compressed inline data that a truncated file has more of than it sends, the start is sent", async () => {
  const plain = Uint8Array.from({ length: 3000 }, (_, at) => Math.imul(at, 2_654_435_761) >>> 29);
  const room = new Uint8Array(4096);
  const length = (await loadCodecs()).encode("zstd", plain, room, { sectorSize: SECTOR, inline: true });
  const inline = room.subarray(0, length);
  expect(length).toBeGreaterThan(40);
  const about = { start: 0, end: 4096, offset: 0, ramBytes: 3000, diskBytenr: 0, inline };
  const short = item({ type: FILE_EXTENT_INLINE, compression: COMPRESS_ZSTD, ...about });
  const [few, all] = await written([
    [short, 0, 40],
    [short, 0, 3000],
  ]);
  expect(few).toEqual(plain.slice(0, 40));
  expect(all).toEqual(plain);
});

test.each<[string, Partial<FileItem>]>([
  ["uses more than it has", { offset: 131_072 }],
  [
    "is longer than a compressed extent can be",
    { compression: COMPRESS_ZSTD, diskNumBytes: 2 ** 40, ramBytes: 2 ** 41 },
  ],
  ["lies beside the data", { diskBytenr: DISK_BYTES }],
  ["does not begin at a sector", { diskBytenr: 40_961 }],
  ["is compressed in an unknown way", { compression: 9 }],
])("an item that %s is refused before room is made for it", async (_, fields) => {
  await expect(written([[item(fields), 8192, 10]])).rejects.toThrow(CorruptError);
});
