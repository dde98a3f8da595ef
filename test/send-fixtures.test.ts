import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { estimateSend, ImageSource, type SendOptions, send } from "../src/send/index.ts";
import { openVolume } from "../src/volume/open.ts";
import type { Volume } from "../src/volume/volume.ts";
import { packedVolume, promptVolume } from "./support/packed-volume.ts";
import { subvolumeIds } from "./support/subvolume-ids.ts";

// Images of random histories, and what the kernel's streams of their snapshots are: fixtures/make-sends.maker.ts.

interface Stream {
  readonly snapshot: string;
  readonly parent?: string;
  readonly clones?: readonly string[];
  readonly protocol?: 1 | 2;
  readonly compressed?: boolean;
  readonly noData?: boolean;
  readonly bytes: number;
  readonly sha256: string;
}

const index: readonly { readonly name: string; readonly streams: readonly Stream[] }[] = JSON.parse(
  readFileSync(resolve(import.meta.dirname, "fixtures/send/index.json"), "utf8"),
);

function optionsOf(stream: Stream, ids: ReadonlyMap<string, bigint>): SendOptions {
  return {
    snapshot: ids.get(stream.snapshot)!,
    parent: stream.parent === undefined ? undefined : ids.get(stream.parent)!,
    cloneSources: stream.clones?.map((name) => ids.get(name)!),
    protocol: stream.protocol ?? 2,
    compressedData: stream.compressed,
    noData: stream.noData,
  };
}

async function digest(volume: Volume, options: SendOptions): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash("sha256");
  const { bytes } = await send(new ImageSource(volume), options, { write: (chunk) => void hash.update(chunk) });
  return { bytes, sha256: hash.digest("hex") };
}

describe.each(index)("image $name", ({ name, streams }) => {
  test.each([
    ["what is waited for", packedVolume],
    ["what is read at once", promptVolume],
  ])(
    "each of the kernel's streams is made again of %s, byte for byte, and its size told before",
    async (_, devices) => {
      await using volume = await openVolume(devices(name, "send"));
      const ids = await subvolumeIds(volume);
      expect(streams.length).toBeGreaterThan(20);
      for (const stream of streams) {
        const { bytes, sha256 } = stream;
        const options = optionsOf(stream, ids);
        const { snapshot, parent, clones, protocol, compressed, noData } = stream;
        const about = JSON.stringify({ snapshot, parent, clones, protocol, compressed, noData });
        expect({ about, ...(await digest(volume, options)) }).toEqual({ about, bytes, sha256 });
        if (!compressed) continue;
        const estimate = await estimateSend(new ImageSource(volume), options);
        expect(estimate.bytes).toBe(bytes);
        const counted = [...estimate.counts.values()].reduce((sum, count) => sum + count.bytes, 0);
        expect(counted + 17).toBe(bytes);
      }
    },
  );
});

describe("what can't be sent", () => {
  test("a subvolume that is writable, is not there, or is the top level is refused", async () => {
    await using volume = await openVolume(packedVolume("everything", "send"));
    const ids = await subvolumeIds(volume);
    const attempt = (snapshot: bigint) => digest(volume, { snapshot, protocol: 2 });
    await expect(attempt(ids.get("live")!)).rejects.toMatchObject({ code: "permission" });
    await expect(attempt(99_999n)).rejects.toMatchObject({ code: "missing" });
    await expect(attempt(5n)).rejects.toMatchObject({ code: "permission" });
  });

  test("compressed data needs protocol 2", async () => {
    await using volume = await openVolume(packedVolume("everything", "send"));
    const snapshot = (await subvolumeIds(volume)).get("s1")!;
    await expect(digest(volume, { snapshot, protocol: 1, compressedData: true })).rejects.toThrow(TypeError);
  });
});

test("an aborted send ends with the reason", async () => {
  await using volume = await openVolume(packedVolume("everything", "send"));
  const snapshot = (await subvolumeIds(volume)).get("s1")!;
  const controller = new AbortController();
  const onProgress = () => controller.abort(new Error("enough"));
  await expect(
    digest(volume, { snapshot, protocol: 2, onProgress, signal: controller.signal } as SendOptions),
  ).rejects.toThrow("enough");
});
