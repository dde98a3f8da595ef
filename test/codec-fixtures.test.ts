import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as browser from "../src/codec/browser.ts";
import * as node from "../src/codec/node.ts";

/** A line of test/fixtures/codec/index.json: test/fixtures/make-codec.py says what it means. Lengths in bytes. */
interface Extent {
  readonly name: string;
  readonly algorithm: "zlib" | "lzo" | "zstd";
  readonly storedLength: number;
  readonly decodedLength: number;
  readonly contentLength: number;
  readonly sha256: string;
  readonly inline: boolean;
}

const folder = join(import.meta.dirname, "fixtures/codec");
const extents: readonly Extent[] = JSON.parse(readFileSync(join(folder, "index.json"), "utf8"));

/** The stored bytes, with the zeros that the fixture leaves out. */
function storedBytes({ name, storedLength }: Extent): Uint8Array {
  const stored = new Uint8Array(storedLength);
  stored.set(readFileSync(join(folder, `${name}.extent`)));
  return stored;
}

for (const [side, { loadCodecs }] of Object.entries({ browser, node })) {
  // A tail may stop before `ram_bytes`, which is rounded up to sectors: what is not written reads as zero.
  test.each(extents)(`${side}: $name, stored by the kernel, decodes to what was in the file`, async (extent) => {
    const codecs = await loadCodecs();
    const target = new Uint8Array(extent.decodedLength);
    const options = { sectorSize: 4096, inline: extent.inline, strict: true };
    const produced = codecs.decode(extent.algorithm, storedBytes(extent), target, options);
    expect(produced).toBeGreaterThanOrEqual(extent.contentLength);
    expect(createHash("sha256").update(target.subarray(0, extent.contentLength)).digest("hex")).toBe(extent.sha256);
    expect(target.subarray(extent.contentLength).every((byte) => byte === 0)).toBe(true);
  });
}

// Where a header does not fit into the rest of a sector, the next sector begins with it.
test("the fixtures hold LZO segments that leave 4, 3, 2, 1 and 0 bytes of their sector", () => {
  for (const left of [4, 3, 2, 1, 0]) {
    const extent = extents.find(({ name }) => name === `lzo-edge-${left}`)!;
    const view = new DataView(storedBytes(extent).buffer);
    expect(4096 - (8 + view.getUint32(4, true))).toBe(left);
  }
});
