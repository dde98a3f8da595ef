import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as checksum from "../../src/checksum/node.ts";
import * as codec from "../../src/codec/node.ts";
import * as core from "../../src/index.ts";
import * as receive from "../../src/receive/index.ts";
import * as stream from "../../src/stream/index.ts";
import { streamBytes, streamFixtures } from "../support.ts";
import { executablePath, LibraryPage } from "./browser.ts";
import { Proof } from "./proof.ts";

// The same steps in Node and in Chromium, where the library comes from dist/ through a bundler. Node's results are held
// against golden files and the kernel elsewhere.
const IMAGE = "compressed";

const skipped = executablePath === undefined ? " (skipped: no chromium in /usr/bin, none named by CHROMIUM)" : "";

describe.skipIf(skipped !== "")(`in Chromium as in Node${skipped}`, () => {
  const node = new Proof({ checksum, codec, core, receive, stream });
  const packed = gunzipSync(readFileSync(join(import.meta.dirname, `../fixtures/images/${IMAGE}.1.gz`)));
  let page: LibraryPage;

  beforeAll(async () => {
    page = await LibraryPage.open((name) => (name === "image" ? packed : streamBytes(name)));
  });

  afterAll(async () => {
    await page?.close();
  });

  test("crc32c, xxhash64, sha256 and blake2b are the same", async () => {
    const sums = await page.call<string[]>("checksums");
    expect(sums).toEqual(await node.checksums());
    expect(sums).toContain("sha256 abc ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });

  test("each reads the zlib, LZO and zstd that the other wrote", async () => {
    const theirs = await page.call<Record<string, number[]>>("encode");
    const ours = await node.encode();
    expect(Object.keys(theirs)).toHaveLength(9);
    expect(await node.decode(theirs)).toEqual(Object.keys(theirs));
    expect(await page.call("decode", ours)).toEqual(Object.keys(ours));
  });

  test.each(streamFixtures())("$name: dump, report and rewriting are the same", async ({ name, omitEnd }) => {
    expect(await page.call("stream", name)).toBe(await node.stream(streamBytes(name)));
    expect(await page.call("rewritten", name)).toBe(true);
    expect(omitEnd === true || (await node.stream(streamBytes(name))).includes('"sound":true')).toBe(true);
  });

  test("an image that is given as a Blob is read, file by file", async () => {
    const names = await page.call<string[]>("image", "image");
    expect(names.length).toBeGreaterThan(10);
    expect(names).toEqual(await node.image(packed));
  });

  test("the page had nothing to complain of", () => {
    expect(page.complaints).toEqual([]);
  });
});
