import { createHash } from "node:crypto";
import { closeSync, constants, openSync } from "node:fs";
import { LiveFile, loadNative, openat, walk } from "../../../src/linux/index.ts";
import { LiveTarget, type LiveTargetOptions } from "../../../src/linux/receive/live-target.ts";
import { FileSource } from "../../../src/node/file-source.ts";
import { type ReceiveOptions, type ReceiveSummary, receive } from "../../../src/receive/index.ts";
import type { StreamInput } from "../../../src/stream/index.ts";

/** Our own receive of a stream, bytes or a file, into a directory of a mounted btrfs. */
export async function liveReceive(
  stream: string | StreamInput,
  directory: string,
  options: ReceiveOptions & LiveTargetOptions = {},
): Promise<ReceiveSummary> {
  using target = LiveTarget.open(directory, options);
  if (typeof stream !== "string") return await receive(stream, target, options);
  using source = await FileSource.open(stream);
  return await receive(source, target, options);
}

/** `SEEK_DATA` of `linux/fs.h`. */
const SEEK_DATA = 3;

/** What is compressed of one file: a line for each answer of the encoded read, with a hash of the bytes. Holes are skipped. */
async function storedExtents(fd: number, size: bigint): Promise<string[]> {
  const native = loadNative();
  const file = new LiveFile(native, fd);
  const buffer = new Uint8Array(131072);
  const lines: string[] = [];
  for (let offset = 0n; offset < size; ) {
    const data = BigInt(native.call("lseek", [fd, offset, SEEK_DATA]));
    // ENXIO: nothing follows.
    if (data === -6n) break;
    if (data < 0n) throw new Error(`lseek: error ${-data}`);
    offset = data;
    const answer = await file.readEncoded(offset, buffer);
    if (answer.length === 0n) throw new Error(`no answer at ${offset} of ${size}`);
    const { length, unencodedLength, unencodedOffset, compression, byteLength } = answer;
    if (compression !== 0) {
      const sum = createHash("sha1").update(buffer.subarray(0, byteLength)).digest("hex");
      lines.push([offset, length, unencodedLength, unencodedOffset, compression, byteLength, sum].join(" "));
    }
    offset += length;
  }
  return lines;
}

/** By path, the compressed extents of all files below a directory, as they are stored. */
export async function storedTree(directory: string): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  const native = loadNative();
  const top = openSync(directory, "r");
  try {
    for (const { path, stat, directory: parent, name } of walk(native, top)) {
      if ((stat.mode & constants.S_IFMT) !== constants.S_IFREG) continue;
      const fd = openat(native, parent, name, constants.O_RDONLY);
      const lines = await storedExtents(fd, stat.size).finally(() => closeSync(fd));
      if (lines.length > 0) found[Buffer.from(path).toString("latin1")] = lines;
    }
  } finally {
    closeSync(top);
  }
  return found;
}
