import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { encodedReader } from "../src/encoded/read.ts";
import { EncodedIoError } from "../src/errors.ts";
import type { OpenFile } from "../src/fs/file.ts";
import { openFilesystem } from "../src/fs/filesystem.ts";
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
