import { createHash } from "node:crypto";
import { deflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { MemoryDevice } from "../src/device/memory.ts";
import * as edit from "../src/edit/index.ts";
import { writeEncodedNow } from "../src/encoded/write.ts";
import { ENCODED_ZLIB } from "../src/format/encoded-io.ts";
import { openFilesystem } from "../src/fs/filesystem.ts";
import { makeFilesystem } from "../src/mkfs/mkfs.ts";
import { openWritableVolume } from "../src/transaction/writable.ts";
import { treeOfImage } from "./support/tree-of-image.ts";

// An extent that was written encoded may decode to more than the file takes of it. However the file gets longer, nobody
// may see that: Linux reads zeros there.

const SHOWN = 185;
const GROW: readonly (readonly [string, (at: edit.Place, inode: bigint) => Promise<void>, number])[] = [
  ["preallocation from the begin", (at, inode) => edit.preallocate(at, inode, 0n, 9000n), 9000],
  ["preallocation from the end", (at, inode) => edit.preallocate(at, inode, BigInt(SHOWN), 9000n), 9000],
  ["preallocation behind", (at, inode) => edit.preallocate(at, inode, 8192n, 9000n), 9000],
  [
    "preallocation that keeps the length, then a truncation",
    async (at, inode) => {
      await edit.preallocate(at, inode, 0n, 9000n, { keepSize: true });
      await edit.truncateFile(at, inode, 9000n);
    },
    9000,
  ],
  ["truncation", (at, inode) => edit.truncateFile(at, inode, 300n), 300],
  ["a write behind", (at, inode) => edit.writeFile(at, inode, 300n, new Uint8Array(10)), 310],
];

test.each(GROW)("%s shows zeros behind the old end", async (_, grow, size) => {
  const store = new MemoryDevice(new Uint8Array(24 << 20));
  await makeFilesystem(store, { metadata: "single" });
  {
    await using volume = await openWritableVolume([store]);
    await volume.transaction(async (tx) => {
      const at = { tx, tree: 5n, now: 1n };
      const inode = await edit.createFile(at, 256n, "f");
      const io = {
        offset: 0n,
        length: BigInt(SHOWN),
        unencodedLength: 4096n,
        unencodedOffset: 0n,
        compression: ENCODED_ZLIB,
        encryption: 0,
      };
      await writeEncodedNow(at, inode, io, deflateSync(new Uint8Array(4096).fill(0x41)));
      await grow(at, inode);
    });
  }
  const [file] = await treeOfImage(await (await openFilesystem([store])).lookup("f"));
  const expected = new Uint8Array(size);
  expected.fill(0x41, 0, SHOWN);
  expect(file).toMatchObject({ size, sha256: createHash("sha256").update(expected).digest("hex") });
});
