import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { type Codecs, loadCodecs } from "../src/codec/node.ts";
import { encodedExtents } from "../src/encoded/extents.ts";
import { encodedReader } from "../src/encoded/read.ts";
import { EncodedIoError } from "../src/errors.ts";
import { ENCODED_LZO_4K, ENCODED_ZLIB, ENCODED_ZSTD, type EncodedIo } from "../src/format/encoded-io.ts";
import type { OpenFile } from "../src/fs/file.ts";
import { openFilesystem } from "../src/fs/filesystem.ts";
import { walk } from "../src/fs/walk.ts";
import { type EncodedAnswer, encodedAnswers, imageFixtures, imageSource } from "./support.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

async function answerOf(file: OpenFile, { path, offset, buffer }: EncodedAnswer): Promise<EncodedAnswer> {
  const target = new Uint8Array(buffer);
  try {
    const { byteLength, compression, encryption, ...io } = await encodedReader(file).readEncoded(
      BigInt(offset),
      target,
    );
    return {
      path,
      offset,
      buffer,
      length: Number(io.length),
      unencodedLength: Number(io.unencodedLength),
      unencodedOffset: Number(io.unencodedOffset),
      compression,
      encryption,
      byteLength,
      sha256: sha256(target.subarray(0, byteLength)),
    };
  } catch (error) {
    if (!(error instanceof EncodedIoError)) throw error;
    return { path, offset, buffer, errno: error.errno };
  }
}

const isPlain = (answer: EncodedAnswer): boolean => answer.compression === 0 && answer.byteLength! > 0;

// The kernel had the extents that were read before in memory: it joins neighbours that are not compressed, so there only
// the bytes are its own.
test.for(imageFixtures().filter(({ encoded }) => encoded))("$name: encoded reads are the ioctl's", async ({ name }) => {
  const filesystem = await openFilesystem([imageSource(name)]);
  let equal = 0;
  let joined = 0;
  for (const answer of encodedAnswers(name)) {
    const file = (await filesystem.lookup(Buffer.from(answer.path, "latin1"))).openFile();
    const ours = await answerOf(file, answer);
    if (isPlain(answer) && isPlain(ours) && ours.byteLength !== answer.byteLength) {
      const content = new Uint8Array(answer.byteLength!);
      await file.read(BigInt(answer.offset), content);
      expect({ path: answer.path, sha256: sha256(content) }).toEqual({ path: answer.path, sha256: answer.sha256 });
      joined++;
    } else {
      expect(ours).toEqual(answer);
      equal++;
    }
  }
  expect(equal).toBeGreaterThan(100);
  expect(joined).toBeLessThan(equal / 10);
});

// Compressed extents whole and as they lie there, plain ones in pieces, holes without bytes: together they are the file.
test.for(imageFixtures())(
  "$name: the encoded extents of each file decode to its content",
  async ({ name, devices }) => {
    const codecs = await loadCodecs();
    const sources = Array.from({ length: devices }, (_, index) => imageSource(name, index + 1));
    const filesystem = await openFilesystem(sources);
    const { sectorSize } = filesystem.volume;
    let files = 0;
    for await (const { directory, entries } of walk(await filesystem.top())) {
      for (const entry of entries) {
        if (entry.kind !== "file") continue;
        const file = (await directory.enter(entry)).openFile();
        if (file.size > 1n << 24n) continue;
        const [decoded, content] = [new Uint8Array(Number(file.size)), new Uint8Array(Number(file.size))];
        await file.read(0n, content);
        let at = 0n;
        for await (const { data, ...io } of encodedExtents(file)) {
          expect(io.offset).toBe(at);
          at += io.length;
          if (data !== undefined) decoded.set(decodedRange(codecs, io, data, sectorSize), Number(io.offset));
        }
        expect(at).toBe(file.size);
        expect(Buffer.compare(decoded, content)).toBe(0);
        files++;
      }
    }
    expect(files).toBeGreaterThan(2);
  },
);

const ALGORITHMS: Readonly<Record<number, "zlib" | "zstd" | "lzo">> = {
  [ENCODED_ZLIB]: "zlib",
  [ENCODED_ZSTD]: "zstd",
  [ENCODED_LZO_4K]: "lzo",
};

function decodedRange(codecs: Codecs, io: EncodedIo, data: Uint8Array, sectorSize: number): Uint8Array {
  if (io.compression === 0) return data;
  const whole = new Uint8Array(Number(io.unencodedLength));
  const inline = data.byteLength % sectorSize !== 0;
  const length = codecs.decode(ALGORITHMS[io.compression]!, data, whole, { sectorSize, inline });
  whole.fill(0, length);
  return whole.subarray(Number(io.unencodedOffset), Number(io.unencodedOffset + io.length));
}
