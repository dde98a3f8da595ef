import { D, encodedIo, L4, LZO, noise, Z, Z3, Z4, ZLIB, ZSTD, ZU, zlibOf } from "./encoded-data.ts";
import { encoded, type FileStep, sync, truncate, write } from "./file-steps.ts";

/** What an encoded read answers: an errno, or bytes filled, length, unencoded length, unencoded offset, compression. */
export type ReadAnswer =
  | string
  | readonly [
      byteLength: number,
      length: number,
      unencodedLength: number,
      unencodedOffset: number,
      compression: number,
    ];

/** For bytes filled: whatever the kernel's own compressor made. */
export const ANY = -1;

export interface ReadVector {
  /** Its name too. */
  readonly file: string;
  readonly steps: readonly FileStep[];
  /** The answers depend on what the kernel has in memory: ask each on a fresh mount. */
  readonly cold?: boolean;
  /** Only on a filesystem that stores holes as items. */
  readonly holeItems?: boolean;
  /** One byte is flipped on the disk, this many bytes behind where `bytes` are stored. */
  readonly damage?: { readonly bytes: Uint8Array; readonly at: number };
  readonly reads: readonly (readonly [offset: number | bigint, capacity: number, answer: ReadAnswer])[];
}

const M = 1 << 20;
const END: ReadAnswer = [0, 0, 0, 0, 0];
/** Bytes that are not compressed, or zeros. */
const plain = (length: number): ReadAnswer => [length, length, length, 0, 0];
const inline = (length: number, compression: number, data: Uint8Array): FileStep =>
  encoded(encodedIo({ length, unencodedLength: length, compression }), data);

const ZLIB3 = zlibOf(3000);
const G4 = zlibOf(4096);

/** A compressed extent whose last sector is damaged in its padding: 4 times 4096 stored bytes would not pay, 3 do. */
const LARGE_LZO = (() => {
  // Literals only: a header, one segment for each sector of noise, the last one followed by padding up to the sector.
  const segments = [4096, 4096, 808].map((length, index) => literalSegment(noise(length, 500 + index)));
  return container(segments);
})();

function literalSegment(data: Uint8Array): Uint8Array {
  let rest = data.byteLength - 18;
  const zeros: number[] = [0];
  while (rest > 255) {
    zeros.push(0);
    rest -= 255;
  }
  return Uint8Array.of(...zeros, rest, ...data, 0x11, 0, 0);
}

function container(segments: readonly Uint8Array[]): Uint8Array {
  const bytes: number[] = [0, 0, 0, 0];
  const u32 = (value: number) => [value & 255, (value >> 8) & 255, (value >> 16) & 255, 0];
  for (const segment of segments) {
    const left = 4096 - (bytes.length % 4096);
    if (left < 4) bytes.push(...new Array<number>(left).fill(0));
    bytes.push(...u32(segment.byteLength), ...segment);
  }
  bytes.splice(0, 4, ...u32(bytes.length));
  return Uint8Array.from(bytes);
}

/** Each case of the ioctl, as a Linux 6.18 answered with 4096-byte sectors. */
export const READ_VECTORS: readonly ReadVector[] = [
  {
    file: "inline zlib",
    steps: [inline(3000, ZLIB, ZLIB3)],
    reads: [
      [0, 4096, [ZLIB3.byteLength, 3000, 3000, 0, ZLIB]],
      [100, 4096, [ZLIB3.byteLength, 2900, 3000, 100, ZLIB]],
      [2999, 4096, [ZLIB3.byteLength, 1, 3000, 2999, ZLIB]],
      [0, ZLIB3.byteLength, [ZLIB3.byteLength, 3000, 3000, 0, ZLIB]],
      [3000, 4096, END],
      [5000, 4096, END],
      [0, 10, "ENOBUFS"],
      [0, ZLIB3.byteLength - 1, "ENOBUFS"],
    ],
  },
  {
    file: "inline zstd",
    steps: [inline(3000, ZSTD, Z3)],
    reads: [
      [0, 4096, [74, 3000, 3000, 0, ZSTD]],
      [1, 74, [74, 2999, 3000, 1, ZSTD]],
      [0, 73, "ENOBUFS"],
    ],
  },
  { file: "inline lzo", steps: [inline(4096, LZO, L4)], reads: [[0, 4096, [109, 4096, 4096, 0, LZO]]] },
  {
    file: "inline raw 100",
    steps: [write(0, noise(100, 1))],
    reads: [
      [0, 4096, plain(100)],
      [50, 4096, plain(50)],
      [0, 10, plain(10)],
      [99, 1, plain(1)],
      [100, 4096, END],
      [0, 0, END],
      [-1n, 4096, "EINVAL"],
      [-(1n << 63n), 4096, "EINVAL"],
      [(1n << 63n) - 1n, 4096, END],
    ],
  },
  {
    file: "hole, 4K of data, hole",
    steps: [truncate(M), write(524288, noise(4096, 2))],
    cold: true,
    reads: [
      [0, M, plain(131072)],
      [100, M, plain(130972)],
      [524278, 100, plain(10)],
      [393215, M, plain(126977)],
      [393216, M, plain(131072)],
      [397313, M, plain(126975)],
      [524288, M, plain(4096)],
      [532480, M, plain(131072)],
      [1048575, 4096, plain(1)],
    ],
  },
  {
    file: "hole items",
    steps: [truncate(M), write(524288, noise(4096, 3))],
    cold: true,
    holeItems: true,
    reads: [
      [0, M, plain(524288)],
      [100, M, plain(524188)],
      [524278, 100, plain(10)],
      [532480, M, plain(516096)],
    ],
  },
  {
    file: "sparse",
    steps: [truncate(M)],
    cold: true,
    reads: [
      [0, M, plain(131072)],
      [5000, M, plain(130168)],
      [913408, M, plain(131072)],
      [1048476, M, plain(100)],
    ],
  },
  {
    // The kernel itself hands out foreign bytes behind the inline data: the answer of a reader is a hole.
    file: "inline raw 96, size 100000",
    steps: [write(0, noise(96, 4)), sync, { do: "fallocate", at: 0, length: 100000 }],
    reads: [
      [0, M, plain(96)],
      [95, M, plain(1)],
      [96, M, plain(4000)],
      [97, 1, plain(1)],
      [97, M, plain(3999)],
      [4095, M, plain(1)],
      [4096, M, plain(95904)],
    ],
  },
  {
    // Raising the size rewrites the last sector, so the kernel compresses this one itself.
    file: "inline zlib 2048, size 100000",
    steps: [
      { do: "compress", algorithm: "zlib" },
      write(0, D.subarray(0, 2048)),
      sync,
      { do: "fallocate", at: 0, length: 100000 },
    ],
    reads: [
      [0, M, [ANY, 2048, 2048, 0, ZLIB]],
      [2047, M, [ANY, 1, 2048, 2047, ZLIB]],
      [2048, M, plain(2048)],
      [2049, 1, plain(1)],
      [2049, M, plain(2047)],
      [4096, M, plain(95904)],
    ],
  },
  {
    file: "raw, one sector damaged",
    steps: [write(0, noise(262144, 5))],
    damage: { bytes: noise(262144, 5).subarray(8192, 8256), at: 7 },
    reads: [
      [0, 8192, plain(8192)],
      [8191, 1, plain(1)],
      [12288, M, plain(131072)],
      [0, 8193, "EIO"],
      [8191, 2, "EIO"],
      [8192, 1, "EIO"],
      [0, M, "EIO"],
    ],
  },
  {
    file: "compressed, padding damaged",
    steps: [encoded(encodedIo({ compression: LZO }), LARGE_LZO)],
    damage: { bytes: LARGE_LZO.subarray(0, 64), at: 12287 },
    reads: [
      [0, 12287, "ENOBUFS"],
      [0, 12288, "EIO"],
      [131071, M, "EIO"],
    ],
  },
  {
    file: "preallocated",
    steps: [{ do: "fallocate", at: 0, length: M }],
    cold: true,
    reads: [
      [0, M, plain(M)],
      [1, M, plain(M - 1)],
      [65536, M, plain(983040)],
    ],
  },
  {
    file: "preallocated, 8K written",
    steps: [{ do: "fallocate", at: 0, length: M }, sync, write(65536, noise(8192, 6))],
    cold: true,
    reads: [
      [0, M, plain(65536)],
      [65536, M, plain(8192)],
      [70536, M, plain(3192)],
      [73728, M, plain(974848)],
    ],
  },
  {
    file: "preallocated behind the end",
    steps: [{ do: "fallocate", keepSize: true, at: 0, length: M }, sync, write(0, noise(5000, 7))],
    reads: [
      [0, M, plain(5000)],
      [5000, 100, END],
      [8192, 100, END],
    ],
  },
  {
    file: "raw 1M",
    steps: [write(0, noise(M, 8))],
    reads: [
      [0, 1, plain(1)],
      [0, 65536, plain(65536)],
      [0, 131072, plain(131072)],
      [0, M, plain(131072)],
      [5000, M, plain(130168)],
      [5000, 10, plain(10)],
      [4095, M, plain(126977)],
      [1048476, 4096, plain(100)],
    ],
  },
  ...[false, true].map(
    (nocow): ReadVector => ({
      file: nocow ? "nocow 10001" : "raw 10001",
      steps: [...(nocow ? [{ do: "nocow" } as const] : []), write(0, noise(10001, 9))],
      reads: [
        [0, M, plain(10001)],
        [8192, 4096, plain(1809)],
        [10000, 4096, plain(1)],
      ],
    }),
  ),
  {
    file: "zstd, two extents",
    steps: [encoded(encodedIo({}), Z), encoded(encodedIo({ at: 131072 }), Z)],
    reads: [
      [0, 131072, [4096, 131072, 131072, 0, ZSTD]],
      [100, 131072, [4096, 130972, 131072, 100, ZSTD]],
      [4096, 131072, [4096, 126976, 131072, 4096, ZSTD]],
      [131072, 131072, [4096, 131072, 131072, 0, ZSTD]],
      [262143, 131072, [4096, 1, 131072, 131071, ZSTD]],
      [262144, 131072, END],
      [0, 4095, "ENOBUFS"],
      [0, 4096, [4096, 131072, 131072, 0, ZSTD]],
    ],
  },
  {
    file: "zlib and lzo",
    steps: [
      encoded(encodedIo({ compression: ZLIB }), zlibOf(131072)),
      encoded(encodedIo({ at: 131072, length: 9000, unencodedLength: 131072, compression: LZO }), LARGE_LZO),
    ],
    reads: [
      [0, 131072, [4096, 131072, 131072, 0, ZLIB]],
      [131072, 131072, [12288, 9000, 131072, 0, LZO]],
    ],
  },
  {
    file: "zstd 100000",
    steps: [encoded(encodedIo({ length: 100000, unencodedLength: 100000 }), ZU)],
    reads: [
      [0, M, [4096, 100000, 102400, 0, ZSTD]],
      [98304, M, [4096, 1696, 102400, 98304, ZSTD]],
      [99999, M, [4096, 1, 102400, 99999, ZSTD]],
    ],
  },
  {
    file: "zstd cut to 50000",
    steps: [encoded(encodedIo({}), Z), sync, truncate(50000)],
    reads: [
      [0, M, [4096, 50000, 131072, 0, ZSTD]],
      [49152, M, [4096, 848, 131072, 49152, ZSTD]],
    ],
  },
  {
    file: "a middle part, cloned",
    steps: [{ do: "clone", from: "zstd, two extents", fromAt: 65536, length: 32768, at: 0 }],
    reads: [
      [0, M, [4096, 32768, 131072, 65536, ZSTD]],
      [4096, M, [4096, 28672, 131072, 69632, ZSTD]],
      [32767, M, [4096, 1, 131072, 98303, ZSTD]],
    ],
  },
  {
    file: "a middle part, overwritten",
    steps: [encoded(encodedIo({}), Z), sync, write(40960, noise(4096, 10))],
    reads: [
      [0, M, [4096, 40960, 131072, 0, ZSTD]],
      [40959, M, [4096, 1, 131072, 40959, ZSTD]],
      [40960, M, plain(4096)],
      [45056, M, [4096, 86016, 131072, 45056, ZSTD]],
      [45057, M, [4096, 86015, 131072, 45057, ZSTD]],
    ],
  },
  {
    file: "zstd 100000, extended",
    steps: [encoded(encodedIo({ length: 100000, unencodedLength: 100000 }), ZU), sync, truncate(200000)],
    cold: true,
    reads: [
      [0, M, [4096, 98304, 102400, 0, ZSTD]],
      [99999, M, plain(2401)],
      [102400, M, plain(97600)],
    ],
  },
  {
    file: "inline zstd, extended",
    steps: [inline(3000, ZSTD, Z3), sync, truncate(10000)],
    cold: true,
    reads: [
      [0, M, plain(4096)],
      [4096, M, plain(5904)],
    ],
  },
  {
    file: "inline zstd, cut",
    steps: [inline(3000, ZSTD, Z3), sync, truncate(1000)],
    reads: [[0, M, plain(1000)]],
  },
  {
    file: "two raw extents side by side",
    steps: [write(0, noise(65536, 11)), sync, write(65536, noise(65536, 12))],
    cold: true,
    reads: [[0, 262144, plain(65536)]],
  },
  {
    file: "inline of a whole sector",
    steps: [
      inline(4096, ZSTD, Z4),
      encoded(encodedIo({ at: 4096, length: 4096, unencodedLength: 4096, compression: ZLIB }), G4),
    ],
    reads: [
      [0, M, [74, 4096, 4096, 0, ZSTD]],
      [4095, M, [74, 1, 4096, 4095, ZSTD]],
      [4096, M, [4096, 4096, 4096, 0, ZLIB]],
    ],
  },
  { file: "empty", steps: [], reads: [[0, 4096, END]] },
];
