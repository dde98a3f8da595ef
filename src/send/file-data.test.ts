import { expect, test } from "vitest";
import { loadCodecs } from "#codec";
import { CorruptError } from "../errors.ts";
import { COMPRESS_NONE, COMPRESS_ZSTD, FILE_EXTENT_INLINE, FILE_EXTENT_REG } from "../format/file-extent.ts";
import { HEADER_BYTES, NodeBlock } from "../format/node.ts";
import { FileData } from "./file-data.ts";
import type { FileItem } from "./file-item.ts";
import type { SendSource } from "./source.ts";

const SECTOR = 4096;
const DISK_BYTES = 1 << 20;

/** Each stored byte is the low byte of its address divided by 16. */
const source: SendSource = {
  sectorSize: SECTOR,
  nodeSize: 16384,
  openSnapshot: () => Promise.reject(new Error("not asked for")),
  codecs: () => loadCodecs(),
  isData: (logical, length) => logical + length <= DISK_BYTES,
  async readStored(logical, target) {
    if (logical % SECTOR !== 0 || target.byteLength % SECTOR !== 0) throw new Error("not in sectors");
    for (let at = 0; at < target.byteLength; at++) target[at] = byteAt(logical + at);
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

test("reads what the file has at an offset, also from the middle of a sector and up to one", async () => {
  const data = new FileData(source);
  for (const [offset, length] of [
    [8192, 4096],
    [8192, 100],
    [12_288, 5000],
    [9000, 300],
  ] as const) {
    const target = new Uint8Array(length + data.slack);
    await data.readPlain(item({}), offset, length, target, true);
    const first = 40_960 + 4096 + offset - 8192;
    expect([...target.subarray(0, length)]).toEqual(Array.from({ length }, (_, at) => byteAt(first + at)));
  }
});

test("a hole is zeros, and so is what lies behind inline data", async () => {
  const data = new FileData(source);
  const target = new Uint8Array(50).fill(9);
  await data.readPlain(item({ diskBytenr: 0 }), 8192, 50, target, true);
  expect(target).toEqual(new Uint8Array(50));
  const inline = Uint8Array.of(1, 2, 3);
  const short = item({ type: FILE_EXTENT_INLINE, start: 0, end: 4096, offset: 0, ramBytes: 3, diskBytenr: 0, inline });
  await data.readPlain(short, 1, 4, target.fill(9), true);
  expect([...target.subarray(0, 4)]).toEqual([2, 3, 0, 0]);
});

test.each<[string, Partial<FileItem>]>([
  ["uses more than it has", { offset: 131_072 }],
  [
    "is longer than a compressed extent can be",
    { compression: COMPRESS_ZSTD, diskNumBytes: 2 ** 40, ramBytes: 2 ** 41 },
  ],
  ["lies beside the data", { diskBytenr: DISK_BYTES }],
  ["does not begin at a sector", { diskBytenr: 40_961 }],
])("an item that %s is refused before room is made for it", async (_, fields) => {
  const data = new FileData(source);
  expect(() => data.check(item(fields))).toThrow(CorruptError);
  await expect(data.readPlain(item(fields), 8192, 10, new Uint8Array(10), true)).rejects.toThrow(CorruptError);
});
