import { expect, test } from "vitest";
import {
  encodedAnswers,
  goldenDump,
  imageFixtures,
  imageSource,
  imageTree,
  snapshotTree,
  streamBytes,
  streamFixtures,
} from "./support.ts";

const streams = streamFixtures();

test.each(streams)("fixture $name is a stream of its protocol, with a dump and the trees that it carries", (stream) => {
  const bytes = streamBytes(stream.name);
  const header = new DataView(bytes.buffer, bytes.byteOffset, 17);
  expect(new TextDecoder().decode(bytes.subarray(0, 13))).toBe("btrfs-stream\0");
  expect(header.getUint32(13, true)).toBe(stream.protocol);

  const dump = new TextDecoder().decode(goldenDump(stream.name));
  const first = stream.parent === undefined && stream.clones === undefined ? "subvol" : "snapshot";
  expect(dump.startsWith(`${first.padEnd(16)}./${stream.snapshots[0]} `)).toBe(true);
  for (const snapshot of stream.snapshots) expect(snapshotTree(snapshot)[0]?.type).toBe("dir");
});

// Every command that a kernel sends, so that no reader is tested on half of them.
test("the fixtures hold every command of protocols 1 and 2 that a kernel sends", () => {
  const seen = new Set(
    streams.flatMap((stream) => new TextDecoder().decode(goldenDump(stream.name)).match(/^[a-z_]+(?= +\.\/)/gm) ?? []),
  );
  expect([...seen].sort()).toEqual(
    "chmod chown clone encoded_write fallocate fileattr link mkdir mkfifo mkfile mknod mksock remove_xattr rename rmdir set_xattr snapshot subvol symlink truncate unlink update_extent utimes write"
      .split(" ")
      .sort(),
  );
});

test.each(imageFixtures())("image $name has its devices, each with a superblock, and a tree of its names", (image) => {
  for (let device = 1; device <= image.devices; device++) {
    const source = imageSource(image.name, device);
    const superblock = Buffer.alloc(4096);
    source.readSync!(64 << 10, superblock);
    expect(superblock.toString("latin1", 64, 72)).toBe("_BHRfS_M");
    // dev_item.devid
    expect(superblock.readBigUInt64LE(201)).toBe(BigInt(device));
  }
  const paths = new Set(imageTree(image.name).map((entry) => entry.path));
  for (const subvolume of image.subvolumes) expect(paths).toContain(subvolume.path);
  if (image.encoded) expect(encodedAnswers(image.name).some((answer) => (answer.compression ?? 0) > 0)).toBe(true);
});
