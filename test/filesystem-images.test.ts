import { expect, test } from "vitest";
import { formatUuid } from "../src/bytes/uuid.ts";
import { openFilesystem } from "../src/fs/filesystem.ts";
import type { VolumeEvent } from "../src/volume/events.ts";
import { treeDifferences } from "./kernel/support/tree.ts";
import { treeOfImage } from "./support/tree-of-image.ts";
import { imageFixtures, imageSource, imageTree } from "./support.ts";

const sourcesOf = (name: string, devices: number) =>
  Array.from({ length: devices }, (_, index) => imageSource(name, index + 1));

// What Python saw in the same filesystems when a kernel had mounted them.
test.for(imageFixtures())("$name: every name, stat, xattr, hole and byte is what the kernel shows", async (image) => {
  const { name, devices } = image;
  const events: VolumeEvent[] = [];
  const filesystem = await openFilesystem(sourcesOf(name, devices), { onEvent: (event) => events.push(event) });
  const found = await treeOfImage(await filesystem.top());
  // The kernel makes up the times of an empty directory that stands for a subvolume.
  const timeless = (entry: (typeof found)[number]) =>
    entry.inode === 2 ? { ...entry, mtime: "", atime: "", ctime: "" } : entry;
  expect(treeDifferences(found.map(timeless), imageTree(name).map(timeless))).toEqual([]);
  expect(found.length).toBeGreaterThan(3);
  expect(events).toEqual([]);
});

test.for(imageFixtures())("$name: subvolumes are what btrfs subvolume list says", async (image) => {
  const filesystem = await openFilesystem(sourcesOf(image.name, image.devices));
  const [top, ...others] = await filesystem.subvolumes();
  expect(top).toMatchObject({ id: 5n, place: undefined, path: new Uint8Array(0) });
  const listed = others.map((subvolume) => ({
    id: Number(subvolume.id),
    path: Buffer.from(subvolume.path!).toString("latin1"),
    generation: Number(subvolume.generation),
    parent: Number(subvolume.place!.parent),
    uuid: subvolume.uuid === undefined ? null : formatUuid(subvolume.uuid),
    parentUuid: subvolume.parentUuid === undefined ? null : formatUuid(subvolume.parentUuid),
    receivedUuid: subvolume.receivedUuid === undefined ? null : formatUuid(subvolume.receivedUuid),
    readOnly: subvolume.readOnly,
  }));
  expect(listed).toEqual(image.subvolumes);
});
