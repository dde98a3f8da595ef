import { deflateSync } from "node:zlib";
import type { EncodedIo } from "../../src/format/encoded-io.ts";
import { encodedIo, L4, LZO, noise, padded, Z, Z3, Z4, ZLIB, ZSTD, ZU, zlibOf } from "./encoded-data.ts";
import { encoded, type FileStep, sync, write } from "./file-steps.ts";

/** A file extent item; `compression` is the on-disk number, and an inline extent has only its payload's length. */
export type StoredExtent =
  | { readonly at: number; readonly inline: number; readonly compression: number; readonly ramBytes: number }
  | {
      readonly at: number;
      readonly compression: number;
      readonly diskNumBytes: number;
      readonly offset: number;
      readonly numBytes: number;
      readonly ramBytes: number;
    };

export interface WriteVector {
  readonly title: string;
  /** How the file comes about; an empty one unless said. */
  readonly before?: readonly FileStep[];
  readonly io: EncodedIo;
  readonly data: Uint8Array;
  readonly size: number | bigint;
  readonly nbytes?: number;
  readonly extents?: readonly StoredExtent[];
}

export interface Refusal {
  readonly title: string;
  /** `REFUSED_FILE` unless said. */
  readonly before?: readonly FileStep[];
  readonly io: EncodedIo;
  readonly data: Uint8Array;
  /** 0: nothing to do, and nothing done. */
  readonly answer: string | 0;
}

const M = 1 << 20;
const DISK_ZLIB = 1;
const DISK_LZO = 2;
const DISK_ZSTD = 3;

const regular = (
  at: number,
  compression: number,
  [diskNumBytes, offset, numBytes, ramBytes]: readonly [number, number, number, number],
): StoredExtent => ({ at, compression, diskNumBytes, offset, numBytes, ramBytes });
const inline = (payload: Uint8Array, compression: number, ramBytes: number): StoredExtent => ({
  at: 0,
  inline: payload.byteLength,
  compression,
  ramBytes,
});

const HUNDRED = new Uint8Array(deflateSync(new Uint8Array(100).fill(97)));
const ZLIB4097 = zlibOf(4097);
const ZLIB4000 = zlibOf(4000);
const ZLIB32K = zlibOf(32768);
const G4 = zlibOf(4096);
const whole = (length: number, compression = ZSTD) => encodedIo({ length, unencodedLength: length, compression });

/** Writes that are taken, and what is stored then (4096-byte sectors, no-holes, inline up to 2048 bytes). */
export const WRITE_VECTORS: readonly WriteVector[] = [
  {
    title: "zstd, a whole extent",
    io: encodedIo({}),
    data: Z,
    size: 131072,
    nbytes: 131072,
    extents: [regular(0, DISK_ZSTD, [4096, 0, 131072, 131072])],
  },
  {
    title: "zlib, a whole extent",
    io: encodedIo({ compression: ZLIB }),
    data: zlibOf(131072),
    size: 131072,
    nbytes: 131072,
    extents: [regular(0, DISK_ZLIB, [4096, 0, 131072, 131072])],
  },
  {
    title: "lzo, 32 sectors of one segment decoded",
    io: encodedIo({ compression: LZO }),
    data: L4,
    size: 131072,
    nbytes: 131072,
    extents: [regular(0, DISK_LZO, [4096, 0, 131072, 131072])],
  },
  {
    title: "the middle of an extent, at 0",
    io: encodedIo({ length: 32768, unencodedOffset: 65536 }),
    data: Z,
    size: 32768,
    nbytes: 32768,
    extents: [regular(0, DISK_ZSTD, [4096, 65536, 32768, 131072])],
  },
  {
    title: "the middle of an extent, behind a hole",
    io: encodedIo({ at: 131072, length: 32768, unencodedOffset: 65536 }),
    data: Z,
    size: 163840,
    nbytes: 32768,
    extents: [regular(131072, DISK_ZSTD, [4096, 65536, 32768, 131072])],
  },
  {
    title: "one sector far out",
    io: encodedIo({ at: M, length: 4096, unencodedOffset: 4096 }),
    data: Z,
    size: 1052672,
    nbytes: 4096,
    extents: [regular(M, DISK_ZSTD, [4096, 4096, 4096, 131072])],
  },
  {
    title: "an unaligned decoded length, which is rounded up",
    io: whole(100001),
    data: ZU,
    size: 100001,
    nbytes: 102400,
    extents: [regular(0, DISK_ZSTD, [4096, 0, 102400, 102400])],
  },
  {
    title: "the first 5000 bytes of an extent",
    io: encodedIo({ length: 5000 }),
    data: Z,
    size: 5000,
    nbytes: 8192,
    extents: [regular(0, DISK_ZSTD, [4096, 0, 8192, 131072])],
  },
  {
    title: "an unaligned end that is the file's",
    io: encodedIo({ at: 4096, length: 5001, unencodedOffset: 8192 }),
    data: Z,
    size: 9097,
    nbytes: 8192,
    extents: [regular(4096, DISK_ZSTD, [4096, 8192, 8192, 131072])],
  },
  {
    title: "far behind an inline extent, which becomes a regular one",
    before: [write(0, noise(100, 20)), sync],
    io: encodedIo({ at: M }),
    data: Z,
    size: 1179648,
    nbytes: 135168,
    extents: [regular(0, 0, [4096, 0, 4096, 4096]), regular(M, DISK_ZSTD, [4096, 0, 131072, 131072])],
  },
  {
    title: "an end at the unaligned end of the file",
    before: [write(0, noise(20000, 21)), sync],
    io: encodedIo({ length: 20000 }),
    data: Z,
    size: 20000,
    extents: [regular(0, DISK_ZSTD, [4096, 0, 20480, 131072])],
  },
  {
    title: "inline zstd",
    io: whole(4096),
    data: Z4,
    size: 4096,
    nbytes: 4096,
    extents: [inline(Z4, DISK_ZSTD, 4096)],
  },
  {
    title: "inline zstd of 3000",
    io: whole(3000),
    data: Z3,
    size: 3000,
    nbytes: 3000,
    extents: [inline(Z3, DISK_ZSTD, 3000)],
  },
  {
    title: "inline zlib",
    io: whole(4096, ZLIB),
    data: G4,
    size: 4096,
    nbytes: 4096,
    extents: [inline(G4, DISK_ZLIB, 4096)],
  },
  {
    title: "inline lzo",
    io: whole(4096, LZO),
    data: L4,
    size: 4096,
    nbytes: 4096,
    extents: [inline(L4, DISK_LZO, 4096)],
  },
  {
    title: "a hundred bytes inline",
    io: whole(100, ZLIB),
    data: HUNDRED,
    size: 100,
    nbytes: 100,
    extents: [inline(HUNDRED, DISK_ZLIB, 100)],
  },
  {
    title: "one byte more than a sector is not inline",
    io: whole(4097, ZLIB),
    data: ZLIB4097,
    size: 4097,
    nbytes: 8192,
    extents: [regular(0, DISK_ZLIB, [4096, 0, 8192, 8192])],
  },
  {
    title: "less than the extent decodes to is not inline",
    io: encodedIo({ length: 3000, unencodedLength: 4096 }),
    data: Z4,
    size: 3000,
    nbytes: 4096,
    extents: [regular(0, DISK_ZSTD, [4096, 0, 4096, 4096])],
  },
  {
    title: "not at the start is not inline",
    io: encodedIo({ at: 4096, length: 4096, unencodedLength: 4096 }),
    data: Z4,
    size: 8192,
    nbytes: 4096,
    extents: [regular(4096, DISK_ZSTD, [4096, 0, 4096, 4096])],
  },
  {
    title: "shorter than the file is not inline",
    before: [write(0, noise(8192, 22)), sync],
    io: whole(4096),
    data: Z4,
    size: 8192,
    nbytes: 8192,
    extents: [regular(0, DISK_ZSTD, [4096, 0, 4096, 4096]), regular(4096, 0, [8192, 4096, 4096, 8192])],
  },
  {
    title: "inline in place of a regular extent",
    before: [write(0, noise(4096, 23)), sync],
    io: whole(4096),
    data: Z4,
    size: 4096,
    nbytes: 4096,
    extents: [inline(Z4, DISK_ZSTD, 4096)],
  },
  {
    title: "2048 stored bytes inline",
    io: whole(4000, ZLIB),
    data: padded(ZLIB4000, 2048),
    size: 4000,
    nbytes: 4000,
    extents: [inline(new Uint8Array(2048), DISK_ZLIB, 4000)],
  },
  {
    title: "2049 stored bytes not inline",
    io: whole(4000, ZLIB),
    data: padded(ZLIB4000, 2049),
    size: 4000,
    nbytes: 4096,
    extents: [regular(0, DISK_ZLIB, [4096, 0, 4096, 4096])],
  },
  {
    title: "one byte shorter than decoded",
    io: encodedIo({}),
    data: padded(Z, 131071),
    size: 131072,
    nbytes: 131072,
    extents: [regular(0, DISK_ZSTD, [131072, 0, 131072, 131072])],
  },
  {
    title: "one byte shorter than decoded, one sector",
    io: whole(4096),
    data: padded(Z4, 4095),
    size: 4096,
    nbytes: 4096,
    extents: [regular(0, DISK_ZSTD, [4096, 0, 4096, 4096])],
  },
  {
    title: "into the middle of an extent, which is split",
    before: [encoded(encodedIo({}), Z), sync],
    io: encodedIo({ at: 65536, length: 32768, unencodedLength: 32768, compression: ZLIB }),
    data: ZLIB32K,
    size: 131072,
    nbytes: 131072,
    extents: [
      regular(0, DISK_ZSTD, [4096, 0, 65536, 131072]),
      regular(65536, DISK_ZLIB, [4096, 0, 32768, 32768]),
      regular(98304, DISK_ZSTD, [4096, 98304, 32768, 131072]),
    ],
  },
  {
    title: "over preallocated space",
    before: [{ do: "fallocate", at: 0, length: 262144 }, sync],
    io: encodedIo({ at: 65536 }),
    data: Z,
    size: 262144,
    nbytes: 262144,
  },
  {
    title: "behind the end of a compressed file, whose last sector is cut clean",
    before: [encoded(encodedIo({ length: 5000 }), Z), sync],
    io: encodedIo({ at: 131072 }),
    data: Z,
    size: 262144,
  },
  {
    title: "at 2^62",
    io: encodedIo({ at: 1n << 62n }),
    data: Z,
    size: (1n << 62n) + 131072n,
    nbytes: 131072,
  },
];

/** The file that refused writes are aimed at. */
export const REFUSED_FILE: readonly FileStep[] = [write(0, noise(20000, 30)), sync];

const refused = (
  title: string,
  parts: Parameters<typeof encodedIo>[0],
  answer: string | 0,
  data: Uint8Array = Z,
): Refusal => ({
  title,
  io: encodedIo(parts),
  data,
  answer,
});

const EMPTY = new Uint8Array(0);

export const REFUSALS: readonly Refusal[] = [
  refused("no compression is refused", { compression: 0 }, "EINVAL"),
  refused("an unknown compression is refused", { compression: 8 }, "EINVAL"),
  refused("encryption is refused", { encryption: 1 }, "EINVAL"),
  refused("encryption without compression is refused", { compression: 0, encryption: 1 }, "EINVAL"),
  refused("an offset behind the decoded data is refused", { unencodedOffset: 135168, length: 0 }, "EINVAL"),
  refused("an offset at the end of the decoded data is nothing", { unencodedOffset: 131072, length: 0 }, 0),
  refused("more than the decoded data has is refused", { unencodedOffset: 4096 }, "EINVAL"),
  refused("a byte over 128 KiB decoded is refused", { unencodedLength: 131073 }, "EINVAL"),
  refused("a sector over 128 KiB decoded is refused", { unencodedLength: 135168 }, "EINVAL"),
  refused("as long as decoded is refused", {}, "EINVAL", padded(Z, 131072)),
  refused("longer than decoded is refused", {}, "EINVAL", padded(Z, 131073)),
  refused("77 bytes that decode to 77 are refused", { length: 77, unencodedLength: 77 }, "EINVAL"),
  refused(
    "a stored sector of a sector is refused",
    { length: 4096, unencodedLength: 4096 },
    "EINVAL",
    padded(Z4, 4096),
  ),
  refused("lzo of 8K sectors is refused", { compression: 4 }, "EINVAL"),
  refused("lzo of 64K sectors is refused", { compression: 7 }, "EINVAL"),
  refused("an unaligned offset is refused", { at: 100 }, "EINVAL"),
  refused("an offset aligned to 512 is refused", { at: 512 }, "EINVAL"),
  refused("an unaligned start in the decoded data is refused", { unencodedOffset: 100, length: 4096 }, "EINVAL"),
  refused("a start aligned to 512 is refused", { unencodedOffset: 512, length: 4096 }, "EINVAL"),
  refused("an unaligned end inside of the file is refused", { length: 5000 }, "EINVAL"),
  refused("an end one byte before the file's is refused", { length: 19999 }, "EINVAL"),
  refused("no data is nothing", {}, 0, EMPTY),
  refused("no data at an unaligned offset is nothing", { at: 100 }, 0, EMPTY),
  refused("no data of an unknown compression is refused", { compression: 8 }, "EINVAL", EMPTY),
  refused("no length is nothing", { length: 0 }, 0),
  refused("no length at an unaligned offset is nothing", { length: 0, at: 100 }, 0),
  refused("no length before the file is refused", { length: 0, at: -4096 }, "EINVAL"),
  refused("an offset before the file is refused", { at: -4096 }, "EINVAL"),
  refused("an end over 2^63 is refused", { at: (1n << 63n) - 4096n }, "EINVAL"),
  refused("an end at 2^63 is refused", { at: (1n << 63n) - 131072n }, "EINVAL"),
  refused("a length of 2^63 is refused", { length: 1n << 63n, unencodedLength: (1n << 64n) - 1n }, "EINVAL"),
  refused("a length of 2^40 is refused", { length: 1n << 40n, unencodedLength: 1n << 41n }, "EINVAL"),
  refused("a length over 64 bits is refused", { length: 1n << 64n, unencodedLength: 1n << 64n }, "EINVAL"),
  {
    title: "a file without checksums is refused",
    before: [{ do: "nocow" }, write(0, noise(20000, 31)), sync],
    io: encodedIo({}),
    data: Z,
    answer: "EINVAL",
  },
];
