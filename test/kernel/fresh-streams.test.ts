import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { concatBytes } from "../../src/bytes/bytes.ts";
import { readStream, StreamWriter } from "../../src/stream/index.ts";
import { applyHistory } from "./support/apply.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { makeHistory, type Profile } from "./support/history.ts";
import { describeKernel, progsVersion } from "./support/host.ts";
import { peerDump, peerSend, type SendOptions } from "./support/peer.ts";
import { run } from "./support/run.ts";

// Streams that no fixture has: of random histories, made by this kernel on this run. The seeds are fixed; BTRKIT_SEEDS
// asks for more of them.

const seeds = Array.from({ length: Number(process.env.BTRKIT_SEEDS ?? 2) }, (_, index) => index + 1);
const profiles: readonly Profile[] = ["names", "data", "reflinks", "everything"];
const histories = profiles.flatMap((profile) => seeds.map((seed) => ({ profile, seed })));
const isPeer = progsVersion() === "6.2";

const SENDS: readonly { readonly snapshots: readonly string[]; readonly options: SendOptions }[] = [
  ...([{ protocol: 1 }, { protocol: 2 }, { compressed: true }] as const).flatMap((options) => [
    { snapshots: ["s1"], options },
    { snapshots: ["s2"], options: { ...options, parent: "s1" } },
    { snapshots: ["s3"], options: { ...options, parent: "s1" } },
    { snapshots: ["s1"], options: { ...options, parent: "s3" } },
    { snapshots: ["s3"], options: { ...options, parent: "s1", clones: ["s2"] } },
  ]),
  { snapshots: ["s1", "s2", "s3"], options: { protocol: 1 } },
  { snapshots: ["s1", "s2", "s3"], options: { compressed: true, omitEnd: true } },
  { snapshots: ["s2"], options: { noData: true, parent: "s1" } },
];

/** Sends all of `SENDS` into files beside the filesystem, and gives their paths. */
async function streamsOf(filesystem: TestFilesystem): Promise<string[]> {
  const at = (snapshot: string): string => join(filesystem.directory, snapshot);
  const streams: string[] = [];
  for (const { snapshots, options } of SENDS) {
    const { parent, clones = [], ...rest } = options;
    const stream = join(filesystem.work, `stream-${streams.length}`);
    const places = { ...(parent === undefined ? {} : { parent: at(parent) }), clones: clones.map(at) };
    await peerSend(snapshots.map(at), stream, { ...rest, ...places });
    streams.push(stream);
  }
  return streams;
}

async function rewritten(bytes: Uint8Array): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const writer = new StreamWriter({ write: (chunk) => void chunks.push(chunk.slice()) }, { version: 1 });
  for await (const item of readStream(bytes)) {
    writer.write(item);
    await writer.drain();
  }
  await writer.flush();
  return concatBytes(chunks);
}

describeKernel("fresh streams of this kernel", () => {
  if (!isPeer) process.stderr.write("skipped: dumps of fresh streams: btrfs-progs is not 6.2\n");

  describe.each(histories)("history of $profile, seed $seed", ({ profile, seed }) => {
    let filesystem: TestFilesystem;
    let streams: string[];

    beforeAll(async () => {
      filesystem = await TestFilesystem.make();
      await applyHistory(filesystem.directory, makeHistory({ seed, profile }));
      streams = await streamsOf(filesystem);
    }, 120_000);
    afterAll(() => filesystem?.[Symbol.asyncDispose]());

    test.skipIf(!isPeer)("btrkit receive --dump prints what btrfs-progs 6.2 prints", async () => {
      const zone = ["UTC", "Europe/Berlin", "America/St_Johns"][seed % 3]!;
      let lines = 0;
      for (const stream of streams) {
        const ours = await run("node", ["dist/cli/bin.js", "receive", "--dump", "-f", stream], { env: { TZ: zone } });
        const peer = await peerDump(stream, zone);
        // As lines first: a difference is then shown by its line.
        const expected = peer.toString("latin1").split("\n");
        expect(ours.stdout.toString("latin1").split("\n")).toEqual(expected);
        expect(ours.stdout.equals(peer)).toBe(true);
        lines += expected.length;
      }
      expect(lines).toBeGreaterThan(500);
    });

    test("each stream, read and written again, is the same bytes", async () => {
      expect(streams.length).toBe(SENDS.length);
      for (const stream of streams) {
        const bytes = readFileSync(stream);
        expect(Buffer.compare(await rewritten(bytes), bytes)).toBe(0);
      }
    });
  });
});
