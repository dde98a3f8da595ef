import type { Codecs } from "../../src/codec/node.ts";
import type { EncodedIo } from "../../src/format/encoded-io.ts";
import { LZO, ZLIB, ZSTD } from "./encoded-data.ts";

/** How a test file comes about: each way of making files carries these out. */
export type FileStep =
  | { readonly do: "write"; readonly at: number; readonly data: Uint8Array }
  | { readonly do: "truncate"; readonly size: number }
  | { readonly do: "fallocate"; readonly keepSize?: boolean; readonly at: number; readonly length: number }
  /** The range comes from another file of the same table, by its name. */
  | {
      readonly do: "clone";
      readonly from: string;
      readonly fromAt: number;
      readonly length: number;
      readonly at: number;
    }
  | { readonly do: "encoded"; readonly io: EncodedIo; readonly data: Uint8Array }
  /** Only on an empty file. */
  | { readonly do: "nocow" }
  /** What is written from here on is compressed where that pays. */
  | { readonly do: "compress"; readonly algorithm: "zlib" | "lzo" | "zstd" }
  /** What was written so far becomes extents of its own. */
  | { readonly do: "sync" };

export const write = (at: number, data: Uint8Array): FileStep => ({ do: "write", at, data });
export const truncate = (size: number): FileStep => ({ do: "truncate", size });
export const sync: FileStep = { do: "sync" };
export const encoded = (io: EncodedIo, data: Uint8Array): FileStep => ({ do: "encoded", io, data });

/** What `read` gives for a file after the steps: a plain model of a file, made without any filesystem. */
export function contentAfter(
  steps: readonly FileStep[],
  codecs: Codecs,
  contentOf: (file: string) => Uint8Array = () => new Uint8Array(0),
): Uint8Array {
  let content = new Uint8Array(0);
  const place = (at: number, data: Uint8Array) => {
    if (at + data.byteLength > content.byteLength) content = resized(content, at + data.byteLength);
    content.set(data, at);
  };
  for (const step of steps) {
    if (step.do === "write") place(step.at, step.data);
    else if (step.do === "truncate") content = resized(content, step.size);
    else if (step.do === "clone") place(step.at, contentOf(step.from).subarray(step.fromAt, step.fromAt + step.length));
    else if (step.do === "encoded") place(Number(step.io.offset), decodedRange(codecs, step.io, step.data));
    else if (step.do === "fallocate" && !step.keepSize) {
      content = resized(content, Math.max(content.byteLength, step.at + step.length));
    }
  }
  return content;
}

function resized(content: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(size);
  result.set(content.subarray(0, Math.min(size, content.byteLength)));
  return result;
}

const ALGORITHMS: Readonly<Record<number, "zlib" | "zstd" | "lzo">> = { [ZLIB]: "zlib", [ZSTD]: "zstd", [LZO]: "lzo" };

/** The file bytes that encoded data stands for. */
export function decodedRange(codecs: Codecs, io: EncodedIo, data: Uint8Array): Uint8Array {
  const whole = new Uint8Array(Number(io.unencodedLength));
  const algorithm = ALGORITHMS[io.compression];
  if (algorithm === undefined) throw new Error(`the vectors have no compression ${io.compression}`);
  const filled = codecs.decode(algorithm, data, whole, { sectorSize: 4096 });
  whole.fill(0, filled);
  return whole.subarray(Number(io.unencodedOffset), Number(io.unencodedOffset + io.length));
}
