import { expect, test } from "vitest";
import { MemoryDevice } from "../src/device/memory.ts";
import * as edit from "../src/edit/index.ts";
import { makeFilesystem } from "../src/mkfs/mkfs.ts";
import { scrub } from "../src/scrub/scrub.ts";
import type { Transaction } from "../src/transaction/transaction.ts";
import { openWritableVolume } from "../src/transaction/writable.ts";
import { openVolume } from "../src/volume/open.ts";

const TOP = 256n;
const MIB = 1 << 20;

const place = (tx: Transaction): edit.Place => ({ tx, tree: 5n, now: 1_700_000_000_000_000_000n });

/** Each sector differs from the others and from zeros. */
function content(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length).fill(seed + 1);
  for (let at = 0; at < length; at += 512) new DataView(bytes.buffer).setUint32(at, seed * length + at, true);
  return bytes;
}

// Reads take the first copy that is good, so only a scrub sees one that was never written.
test("what a transaction writes is on every copy: blocks of new and old trees, data, superblocks", async () => {
  const store = new MemoryDevice(new Uint8Array(200 * MIB));
  await makeFilesystem(store, { nodeSize: 4096, metadata: "dup", data: "dup" });
  const expectClean = async (): Promise<number> => {
    const report = await scrub(await openVolume([store]));
    expect(report).toMatchObject({ repairable: 0, unrepairable: 0, repaired: 0, missingBytes: 0, superblocks: 2 });
    return report.dataBytes;
  };
  await expectClean();
  const volume = await openWritableVolume([store]);
  const files = 300;
  await volume.transaction(async (tx) => {
    for (let file = 0; file < files; file++) {
      const inode = await edit.createFile(place(tx), TOP, `file ${file}`);
      await edit.writeFile(place(tx), inode, 0n, content(file, 8192));
    }
  });
  expect(await expectClean()).toBe(2 * files * 8192);
  await volume.transaction(async (tx) => {
    for (let file = 0; file < files; file += 3) await edit.unlink(place(tx), TOP, `file ${file}`);
    const long = await edit.createFile(place(tx), TOP, "long");
    await edit.writeFile(place(tx), long, 0n, content(7, 3 * MIB));
  });
  expect(await expectClean()).toBe(2 * ((files * 8192 * 2) / 3 + 3 * MIB));
});
