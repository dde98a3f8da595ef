import { deflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { loadCodecs } from "#codec";
import { decodeWrite, newDecodeBuffer } from "./decode-write.ts";

test("data that decodes to less than it should is followed by zeros, and never by what was decoded before", async () => {
  const codecs = await loadCodecs();
  const buffer = newDecodeBuffer();
  const fields = { offset: 0n, length: 6000, unencodedLength: 8192, unencodedOffset: 2000, compression: 1 };
  const before = decodeWrite(codecs, fields, deflateSync(Buffer.alloc(8192, "x")), buffer);
  expect(before).toEqual(new Uint8Array(6000).fill(0x78));
  const short = decodeWrite(codecs, fields, deflateSync(Buffer.alloc(3000, "y")), buffer);
  expect(short).toEqual(Uint8Array.from({ length: 6000 }, (_, at) => (at < 1000 ? 0x79 : 0)));
});
