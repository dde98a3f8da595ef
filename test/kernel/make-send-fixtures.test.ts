import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { test } from "vitest";
import { applyHistory } from "./support/apply.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { makeHistory, snapshotNames } from "./support/history.ts";
import { describeKernel } from "./support/host.ts";
import { peerSendBytes } from "./support/peer.ts";
import { allSendings } from "./support/send-case.ts";

// Makes test/fixtures/send anew: small images of random histories, packed as make-volumes.py does it, and what the
// kernel's streams of their snapshots are. BTRKIT_MAKE_FIXTURES=1 npx vitest run --project kernel test/kernel/make-send-fixtures.test.ts

const FOLDER = resolve(import.meta.dirname, "../fixtures/send");
const BLOCK = 4096;

const FIXTURES = [
  { name: "shared-zstd", seed: 31, profile: "reflinks", nodeSize: 4096, mount: "compress=zstd" },
  { name: "everything", seed: 12, profile: "everything", nodeSize: 16384, mount: "compress=zstd" },
] as const;

function pack(image: string): Uint8Array {
  const bytes = readFileSync(image);
  const pieces: { at: number; data: Buffer }[] = [];
  for (let at = 0; at < bytes.byteLength; at += BLOCK) {
    const block = bytes.subarray(at, at + BLOCK);
    if (block.every((byte) => byte === 0)) continue;
    const last = pieces.at(-1);
    if (last !== undefined && last.at + last.data.byteLength === at) last.data = bytes.subarray(last.at, at + BLOCK);
    else pieces.push({ at, data: block });
  }
  const words = (...values: number[]): Buffer => {
    const buffer = Buffer.alloc(values.length * 8);
    for (const [index, value] of values.entries()) buffer.writeBigUInt64LE(BigInt(value), index * 8);
    return buffer;
  };
  const body = pieces.flatMap(({ at, data }) => [words(at, data.byteLength), data]);
  return gzipSync(Buffer.concat([words(bytes.byteLength, pieces.length), ...body]), { level: 9 });
}

describeKernel("fixtures of sends", () => {
  test.skipIf(process.env.BTRKIT_MAKE_FIXTURES === undefined)("are made", async () => {
    const index: unknown[] = [];
    for (const { name, seed, profile, nodeSize, mount } of FIXTURES) {
      const operations = makeHistory({
        seed,
        profile,
        steps: 35,
        maxNames: 40,
        maxFileBytes: 96 << 10,
        maxWriteBytes: 64 << 10,
      });
      const mkfs = ["--nodesize", String(nodeSize), "-m", "single"];
      await using filesystem = await TestFilesystem.make({ sizeMiB: 128, mkfs, mount });
      await applyHistory(filesystem.directory, operations, { lenient: true });
      await filesystem.sync();
      const at = (snapshot: string): string => join(filesystem.directory, snapshot);
      const streams = [];
      for (const sending of allSendings(snapshotNames(operations))) {
        const { snapshot, parent, clones = [], ...rest } = sending;
        const places = { ...(parent === undefined ? {} : { parent: at(parent) }), clones: clones.map(at) };
        const bytes = await peerSendBytes([at(snapshot)], join(filesystem.work, "stream"), { ...rest, ...places });
        streams.push({ ...sending, bytes: bytes.byteLength, sha256: createHash("sha256").update(bytes).digest("hex") });
      }
      await filesystem.unmount();
      writeFileSync(join(FOLDER, `${name}.gz`), pack(filesystem.images[0]!));
      index.push({ name, streams });
    }
    writeFileSync(join(FOLDER, "index.json"), `${JSON.stringify(index, undefined, 1)}\n`);
  });
});
