import { closeSync, constants, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { concatBytes } from "../../src/bytes/bytes.ts";
import { LiveSendSource } from "../../src/linux/live-send-source.ts";
import { loadNative } from "../../src/linux/native.ts";
import { getSubvolumeInfo } from "../../src/linux/subvolume.ts";
import { send } from "../../src/send/index.ts";
import { applyHistory } from "./support/apply.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { makeHistory, type Profile, snapshotNames } from "./support/history.ts";
import { describeKernel } from "./support/host.ts";
import { peerReceive, peerSend } from "./support/peer.ts";
import { allSendings, type Sending } from "./support/send-case.ts";
import { treeOf } from "./support/tree.ts";

// The kernel and we send from the same mount. Without reflinks both streams are the same bytes; with them, we may clone
// from another one of equally good places, and what is received has to be the same.

const seeds = Array.from({ length: Number(process.env.BTRKIT_SEEDS ?? 2) }, (_, index) => index + 1);
const forms = [
  { nodeSize: 16384, mount: "compress=zstd" },
  { nodeSize: 4096, mount: "compress=lzo" },
] as const;
const native = loadNative();

async function sendLive(directory: string, sending: Sending): Promise<Uint8Array> {
  const { snapshot, parent, clones = [], protocol = 2, compressed, noData } = sending;
  const open = (name: string): number => openSync(join(directory, name), constants.O_RDONLY | constants.O_DIRECTORY);
  const names = [snapshot, ...(parent === undefined ? [] : [parent]), ...clones];
  const fds = names.map(open);
  try {
    const source = await LiveSendSource.open(native, fds);
    const ids = fds.map((fd) => getSubvolumeInfo(native, fd).id);
    const chunks: Uint8Array[] = [];
    await send(
      source,
      {
        snapshot: ids[0]!,
        parent: parent === undefined ? undefined : ids[1]!,
        cloneSources: ids.slice(parent === undefined ? 1 : 2),
        protocol,
        compressedData: compressed,
        kernelProfile: "6.18",
        noData,
      },
      { write: (chunk) => void chunks.push(chunk.slice()) },
    );
    return concatBytes(chunks);
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

/** What a stream leaves behind where all of its parents were received. */
async function received(streams: readonly string[], name: string): Promise<unknown> {
  await using filesystem = await TestFilesystem.make();
  for (const stream of streams) await peerReceive(stream, filesystem.directory);
  return await treeOf(join(filesystem.directory, name));
}

async function compare(profile: Profile, seed: number): Promise<{ same: number; different: Sending[] }> {
  const { nodeSize, mount } = forms[seed % forms.length]!;
  await using filesystem = await TestFilesystem.make({ mkfs: ["--nodesize", String(nodeSize)], mount });
  const operations = makeHistory({ seed, profile });
  await applyHistory(filesystem.directory, operations, { lenient: true });
  await filesystem.sync();
  const different: Sending[] = [];
  let same = 0;
  for (const [index, sending] of allSendings(snapshotNames(operations)).entries()) {
    const { snapshot, parent, clones = [], ...rest } = sending;
    const at = (name: string): string => join(filesystem.directory, name);
    const stream = join(filesystem.work, `stream-${index}`);
    const places = { ...(parent === undefined ? {} : { parent: at(parent) }), clones: clones.map(at) };
    const kernels = await peerSend([at(snapshot)], stream, { ...rest, ...places }).then(
      () => true,
      () => false,
    );
    if (!kernels) {
      // Against a newer parent, the kernel's own send fails now and then in the middle of the stream.
      await expect(sendLive(filesystem.directory, sending)).rejects.toThrow();
      same++;
      continue;
    }
    const ours = await sendLive(filesystem.directory, sending);
    if (Buffer.compare(ours, readFileSync(stream)) === 0) same++;
    else {
      different.push(sending);
      if (sending.noData) continue;
      const before = [...(parent === undefined ? [] : [parent]), ...clones];
      const streams: string[] = [];
      for (const [number, name] of before.entries()) {
        streams.push(join(filesystem.work, `before-${index}-${number}`));
        await peerSend([at(name)], streams.at(-1)!, { protocol: 2 });
      }
      mkdirSync(join(filesystem.work, `ours-${index}`));
      const own = join(filesystem.work, `ours-${index}`, "stream");
      writeFileSync(own, ours);
      expect(await received([...streams, own], snapshot)).toEqual(await received([...streams, stream], snapshot));
    }
  }
  return { same, different };
}

describeKernel("sends of mounted filesystems", () => {
  test.each((["names", "data"] as const).flatMap((profile) => seeds.map((seed) => ({ profile, seed }))))(
    "are the kernel's streams: $profile, seed $seed",
    async ({ profile, seed }) => {
      expect(await compare(profile, seed)).toEqual({ same: 30, different: [] });
    },
  );

  test.each((["reflinks", "everything"] as const).flatMap((profile) => seeds.map((seed) => ({ profile, seed }))))(
    "with reflinks, are the kernel's streams or received as they are: $profile, seed $seed",
    async ({ profile, seed }) => {
      const { same, different } = await compare(profile, seed);
      expect(same + different.length).toBe(30);
      expect(same).toBeGreaterThan(15);
    },
  );
});
