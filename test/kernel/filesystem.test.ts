import { createHash } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { displayName } from "../../src/bytes/display.ts";
import { encodedReader } from "../../src/encoded/read.ts";
import { EncodedIoError } from "../../src/errors.ts";
import type { EncodedReader } from "../../src/format/encoded-io.ts";
import { FILE_EXTENT_INLINE } from "../../src/format/file-extent.ts";
import type { DirectoryEntry } from "../../src/fs/directory.ts";
import { extentEnd } from "../../src/fs/extents.ts";
import type { OpenFile } from "../../src/fs/file.ts";
import { type Filesystem, openFilesystem } from "../../src/fs/filesystem.ts";
import { walk } from "../../src/fs/walk.ts";
import * as linux from "../../src/linux/index.ts";
import { openFileDevice } from "../../src/node/file-device.ts";
import type { VolumeEvent } from "../../src/volume/events.ts";
import { treeOfImage } from "../support/tree-of-image.ts";
import { applyHistory } from "./support/apply.ts";
import { ColdCopies, FOLDER } from "./support/cold-copies.ts";
import { type FilesystemOptions, TestFilesystem } from "./support/filesystem.ts";
import { makeHistory, type Profile } from "./support/history.ts";
import { describeKernel } from "./support/host.ts";
import { treeDifferences, treeOf } from "./support/tree.ts";

interface Case extends FilesystemOptions {
  readonly title: string;
  readonly profile: Profile;
  readonly seed: number;
}

const CASES: readonly Case[] = [
  { title: "defaults", profile: "everything", seed: 101 },
  { title: "zstd, reflinks", profile: "reflinks", seed: 102, mount: "compress-force=zstd" },
  { title: "lzo, data", profile: "data", seed: 103, mount: "compress-force=lzo" },
  { title: "zlib, everything", profile: "everything", seed: 104, mount: "compress=zlib" },
  { title: "names only, small nodes", profile: "names", seed: 105, mkfs: ["-n", "4096"] },
  { title: "hole items", profile: "data", seed: 106, mkfs: ["-O", "^no-holes"], mount: "compress=zstd" },
  { title: "hole items, reflinks", profile: "reflinks", seed: 107, mkfs: ["-O", "^no-holes"], mount: "compress=lzo" },
  { title: "nodes of 64 KiB, sha256", profile: "everything", seed: 108, mkfs: ["-n", "65536", "--csum", "sha256"] },
  { title: "raid1, xxhash", profile: "data", seed: 109, devices: 2, mkfs: ["-d", "raid1", "--csum", "xxhash"] },
  { title: "raid5, reflinks", profile: "reflinks", seed: 110, devices: 3, mkfs: ["-d", "raid5", "-m", "raid1"] },
  { title: "mixed groups", profile: "data", seed: 111, mkfs: ["--mixed", "-n", "4096"], mount: "compress=zlib" },
];

describeKernel("an image and the same filesystem mounted", () => {
  describe.each(CASES)("$title ($profile, seed $seed)", (options) => {
    test("every name, stat, xattr, hole and byte is equal, and so are the encoded reads at every edge", async () => {
      await using mounted = await TestFilesystem.make(options);
      const { profile, seed } = options;
      await applyHistory(mounted.directory, makeHistory({ seed, profile, snapshots: 2, steps: 60 }));
      await mounted.unmount();
      await mounted.mount("ro");
      const expected = await treeOf(mounted.directory, { holes: true, inodes: true });
      const events: VolumeEvent[] = [];
      const open = async () => {
        const sources = await Promise.all(mounted.images.map((image) => openFileDevice(image)));
        return openFilesystem(sources, { onEvent: (event) => events.push(event) });
      };
      await using filesystem = await open();
      const found = await treeOfImage(await filesystem.top());
      expect(found.length).toBeGreaterThan(20);
      // The kernel makes up the times of an empty directory that stands for a subvolume.
      const timeless = (entry: (typeof found)[number]) =>
        entry.inode === 2 ? { ...entry, mtime: "", atime: "", ctime: "" } : entry;
      expect(treeDifferences(found.map(timeless), expected.map(timeless))).toEqual([]);
      const copies = await ColdCopies.make(mounted, filesystem, COPIES);
      await using copied = await open();
      expect(await compareEncoded(copies, copied)).toEqual([]);
      expect(events).toEqual([]);
    });
  });
});

interface Question {
  readonly offset: bigint;
  readonly buffer: number;
}

/** Questions that each file is asked of one mount. */
const COPIES = 24;

interface Questioned {
  readonly file: OpenFile;
  readonly questions: readonly Question[];
}

/**
 * Asks image and kernel alike; says where they differ. One question for each file that the kernel has nothing in memory
 * of: what it has makes it join neighbours.
 */
async function compareEncoded(copies: ColdCopies, filesystem: Filesystem): Promise<string[]> {
  const native = linux.loadNative();
  const files = await questionedFiles(filesystem);
  const rounds = Math.max(...files.map(({ questions }) => questions.length));
  const differences: string[] = [];
  for (let round = 0; round < rounds; round++) {
    await copies.next();
    for (const { file, questions } of files) {
      const question = questions[round];
      if (question === undefined) continue;
      const fd = openSync(copies.pathOf(file.inode), "r");
      try {
        const theirs = await answerOf(new linux.LiveFile(native, fd), question);
        const ours = await answerOf(encodedReader(file), question);
        if (theirs !== ours) {
          const path = displayName(file.inode.path!);
          differences.push(`${path} at ${question.offset} into ${question.buffer}: ${ours}, ioctl ${theirs}`);
        }
      } finally {
        closeSync(fd);
      }
    }
  }
  return differences.slice(0, 20);
}

async function questionedFiles(filesystem: Filesystem): Promise<Questioned[]> {
  const files: Questioned[] = [];
  const enters = ({ name }: DirectoryEntry) => displayName(name) !== FOLDER;
  for await (const { directory, entries } of walk(await filesystem.top(), { enters })) {
    for (const entry of entries) {
      if (entry.kind !== "file") continue;
      const file = (await directory.enter(entry)).openFile();
      files.push({ file, questions: await questionsOf(file) });
    }
  }
  return files.filter(({ questions }) => questions.length > 0);
}

async function questionsOf(file: OpenFile): Promise<Question[]> {
  const sector = 4096n;
  const edges = new Set<bigint>([0n, file.size]);
  const lengths = new Set<number>();
  for await (const batch of file.extents()) {
    for (const extent of batch) {
      edges.add(extent.fileOffset).add(extentEnd(extent));
      lengths.add(extent.type === FILE_EXTENT_INLINE ? extent.data.byteLength : extent.diskNumBytes);
    }
  }
  const offsets = new Set<bigint>();
  for (const edge of edges) for (const step of [0n, -1n, 1n, -sector, sector]) offsets.add(edge + step);
  const wanted = [...offsets].filter((offset) => offset >= -1n && offset <= file.size + sector);
  // One byte too few for an extent, and few bytes, in turn.
  const small = [...lengths].filter((length) => length > 1 && length <= 131072).map((length) => length - 1);
  small.push(1000);
  return wanted.flatMap((offset, index) => [
    { offset, buffer: 1 << 20 },
    { offset, buffer: small[index % small.length]! },
  ]);
}

async function answerOf(reader: EncodedReader, { offset, buffer }: Question): Promise<string> {
  const target = new Uint8Array(buffer);
  try {
    const io = await reader.readEncoded(offset, target);
    const { byteLength, length, unencodedLength, unencodedOffset, compression, encryption } = io;
    const sum = createHash("sha1").update(target.subarray(0, byteLength)).digest("hex");
    return [byteLength, length, unencodedLength, unencodedOffset, compression, encryption, sum].join(" ");
  } catch (error) {
    if (!(error instanceof EncodedIoError)) throw error;
    return error.errno;
  }
}
