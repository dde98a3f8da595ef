import { describe, expect, test } from "vitest";
import { viewOf } from "../src/bytes/bytes.ts";
import { encodedExtentsOf } from "../src/encoded/extents.ts";
import { BtrfsError } from "../src/errors.ts";
import { ChunkItem, Stripe } from "../src/format/chunk.ts";
import { DirItem } from "../src/format/dir-item.ts";
import { decodeFileExtent, FILE_EXTENT_REG, type FileExtent, FileExtentItem } from "../src/format/file-extent.ts";
import { InodeItem } from "../src/format/inode.ts";
import { InodeRef } from "../src/format/inode-ref.ts";
import {
  CHUNK_ITEM,
  DIR_INDEX,
  EXTENT_CSUM,
  EXTENT_DATA,
  INODE_ITEM,
  INODE_REF,
  ROOT_ITEM,
} from "../src/format/key-type.ts";
import {
  HEADER_BYTES,
  ITEM_HEADER_BYTES,
  ItemHeader,
  itemSize,
  itemStart,
  KEY_POINTER_BYTES,
  KeyPointer,
  type NodeBlock,
  NodeHeader,
  slotType,
} from "../src/format/node.ts";
import { RootItem } from "../src/format/root.ts";
import { Superblock } from "../src/format/superblock.ts";
import type { Filesystem } from "../src/fs/filesystem.ts";
import { walk } from "../src/fs/walk.ts";
import { rewriteSuperblock } from "./support/damage.ts";
import { EditedImage } from "./support/edit-image.ts";

// Images that somebody made to do harm, with checksums that are right: whatever is read of them, it ends soon, in little
// memory, with the right bytes or a BtrfsError. Each case is a lie that a reader could fall for.

const MAX_MILLISECONDS = 10_000;
const MAX_BYTES = 150 << 20;
const MAX_NAMES = 5000;
const HUGE = 0xffff_ffff_ffff_ffffn;

/** Lists, reads and takes apart whatever there is; gives back what was wrong. */
async function readAll(image: EditedImage): Promise<BtrfsError[]> {
  const errors: BtrfsError[] = [];
  const note = (error: unknown): void => {
    if (!(error instanceof BtrfsError)) throw error;
    errors.push(error);
  };
  let filesystem: Filesystem;
  try {
    filesystem = await image.open();
    await filesystem.subvolumes();
  } catch (error) {
    note(error);
    return errors;
  }
  let names = 0;
  const content = new Uint8Array(1 << 17);
  const top = await filesystem.top().catch(note);
  if (top === undefined) return errors;
  for await (const { directory, entries } of walk(top, { onDamage: note })) {
    names += entries.length;
    expect(names).toBeLessThan(MAX_NAMES);
    for (const entry of entries) {
      const inode = await directory.enter(entry).catch(note);
      if (inode === undefined) continue;
      await inode.xattrs().catch(note);
      if (inode.kind === "symlink") await inode.readSymlink().catch(note);
      if (inode.kind !== "file") continue;
      const file = await Promise.resolve(inode)
        .then((found) => found.openFile())
        .catch(note);
      const onUnreadable = (_at: bigint, _length: number, error: BtrfsError) => note(error);
      await file?.read(0n, content, { onUnreadable }).catch(note);
    }
  }
  for await (const _ of encodedExtentsOf(top.subvolume, { onDamage: note, onUnreadable: (_, error) => note(error) }));
  return errors;
}

async function harmless(image: EditedImage): Promise<BtrfsError[]> {
  const begun = performance.now();
  const before = process.memoryUsage().arrayBuffers;
  const errors = await readAll(image);
  expect(performance.now() - begun).toBeLessThan(MAX_MILLISECONDS);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(MAX_BYTES);
  return errors;
}

/** The first leaf of a tree that has an item of `type`; of a file extent, one with data on the disk. */
async function leafWith(image: EditedImage, tree: bigint, type: number): Promise<[NodeBlock, number]> {
  const { volume } = await image.open();
  for await (const { leaf, first, last } of (await volume.openTree(tree)).leaves()) {
    for (let slot = first; slot < last; slot++) {
      if (slotType(leaf, slot) !== type) continue;
      if (type !== EXTENT_DATA || isOnDisk(decodeFileExtent(leaf, slot))) return [leaf, slot];
    }
  }
  throw new Error("there is no such item");
}

function isOnDisk(extent: FileExtent): boolean {
  return extent.type === FILE_EXTENT_REG && extent.diskBytenr > 0;
}

/** Changes the data of the first item of a type. */
async function lie(image: EditedImage, tree: bigint, type: number, change: (view: DataView) => void): Promise<void> {
  const [leaf, slot] = await leafWith(image, tree, type);
  const [start, end] = [itemStart(leaf, slot), itemStart(leaf, slot) + itemSize(leaf, slot)];
  await image.editNode(leaf.logical, (node) => change(viewOf(node.subarray(start, end))));
}

const FS = 5n;
const CHUNKS = 3n;
const CSUMS = 7n;

/** What it is found out as; `undefined` where another copy is taken, and nothing is lost. */
type Lie = readonly [title: string, tell: (image: EditedImage) => Promise<void>, code: string | undefined];

/** Lies about the inner node at the top of a tree of two levels. */
const pointer = (title: string, change: (view: DataView, root: NodeBlock) => void): Lie => [
  title,
  async (image) => {
    const { root } = await (await image.open()).volume.openTree(FS);
    expect(root.level).toBeGreaterThan(0);
    await image.editNode(root.logical, (node) => change(viewOf(node), root));
  },
  "corrupt",
];

const item = (title: string, at: number, value: number): Lie => [
  title,
  async (image) => {
    const [leaf, slot] = await leafWith(image, FS, DIR_INDEX);
    await image.editNode(leaf.logical, (node) => {
      viewOf(node).setUint32(HEADER_BYTES + slot * ITEM_HEADER_BYTES + at, value, true);
    });
  },
  "corrupt",
];

const chunk = (title: string, change: (item: InstanceType<typeof ChunkItem>) => void): Lie => [
  title,
  (image) => lie(image, CHUNKS, CHUNK_ITEM, (view) => change(new ChunkItem(view))),
  "corrupt",
];

const extent = (title: string, change: (item: InstanceType<typeof FileExtentItem>) => void, code = "corrupt"): Lie => [
  title,
  (image) => lie(image, FS, EXTENT_DATA, (view) => change(new FileExtentItem(view))),
  code,
];

const ADDRESS = HEADER_BYTES + KeyPointer.offsets.blockptr;

const LIES: Record<string, readonly Lie[]> = {
  "cycles and levels": [
    pointer("a node that is its own child", (view, { logical }) => view.setBigUint64(ADDRESS, BigInt(logical), true)),
    pointer("two pointers to one child", (view) => {
      view.setBigUint64(ADDRESS + KEY_POINTER_BYTES, view.getBigUint64(ADDRESS, true), true);
    }),
    pointer("a node that says a level more", (view) => {
      view.setUint8(NodeHeader.offsets.level, view.getUint8(NodeHeader.offsets.level) + 1);
    }),
    pointer("a node of a level that does not exist", (view) => view.setUint8(NodeHeader.offsets.level, 200)),
    pointer("an inner node that says it is a leaf", (view) => view.setUint8(NodeHeader.offsets.level, 0)),
    pointer("a child past the end of every chunk", (view) => view.setBigUint64(ADDRESS, 1n << 50n, true)),
    pointer("a child above 2^53", (view) => view.setBigUint64(ADDRESS, HUGE - 4095n, true)),
  ],
  "items and counts": [
    item("an item whose data begins outside of its node", ItemHeader.offsets.offset, 0x7fff_ffff),
    item("an item whose data ends outside of its node", ItemHeader.offsets.size, 0x7fff_ffff),
    item("an item whose offset and size add up past 2^32", ItemHeader.offsets.size, 0xffff_fff0),
    pointer("a node of four thousand million children", (view) => {
      view.setUint32(NodeHeader.offsets.nritems, 0xffff_ffff, true);
    }),
    [
      "a leaf of four thousand million items",
      async (image) => {
        const [leaf] = await leafWith(image, FS, DIR_INDEX);
        await image.editNode(leaf.logical, (node) => {
          viewOf(node).setUint32(NodeHeader.offsets.nritems, 0xffff_ffff, true);
        });
      },
      "corrupt",
    ],
    [
      "an array of system chunks of four thousand million bytes",
      (image) =>
        rewriteSuperblock(image.store, (data) => {
          new Superblock(viewOf(data)).sysChunkArraySize = 0xffff_ffff;
        }),
      undefined,
    ],
    [
      "a root item whose tree has more levels than there are",
      (image) => lie(image, 1n, ROOT_ITEM, (view) => view.setUint8(RootItem.offsets.level, 9)),
      "corrupt",
    ],
  ],
  names: [
    [
      "a directory entry whose name is longer than its item",
      (image) => lie(image, FS, DIR_INDEX, (view) => view.setUint16(DirItem.offsets.nameLen, 0xffff, true)),
      "corrupt",
    ],
    [
      "a directory entry without a name",
      (image) => lie(image, FS, DIR_INDEX, (view) => view.setUint16(DirItem.offsets.nameLen, 0, true)),
      "corrupt",
    ],
    [
      "a back reference whose name is longer than its item",
      (image) => lie(image, FS, INODE_REF, (view) => view.setUint16(InodeRef.offsets.nameLen, 0xffff, true)),
      "corrupt",
    ],
  ],
  chunks: [
    chunk("a chunk of no stripes: nothing to divide by", (it) => {
      it.numStripes = 0;
    }),
    chunk("a chunk of stripes of no bytes", (it) => {
      it.stripeLen = 0n;
    }),
    chunk("a chunk of no bytes", (it) => {
      it.length = 0n;
    }),
    chunk("a chunk of 2^64 - 1 bytes", (it) => {
      it.length = HUGE;
    }),
    chunk("a chunk of 65,535 stripes", (it) => {
      it.numStripes = 0xffff;
    }),
    chunk("a raid10 chunk of no sub-stripes", (it) => {
      it.type = (it.type & 7n) | 0x40n;
      it.subStripes = 0;
    }),
    chunk("a raid6 chunk of one stripe: no data but parity", (it) => {
      it.type = (it.type & 7n) | 0x100n;
    }),
    chunk("a chunk beyond the end of the device", (it) => {
      new Stripe(it.view, it.at + ChunkItem.byteLength).offset = 1n << 45n;
    }),
    chunk("a chunk at a device offset of 2^64 - 65536", (it) => {
      new Stripe(it.view, it.at + ChunkItem.byteLength).offset = HUGE - 65535n;
    }),
  ],
  "files and extents": [
    extent("an extent beyond every chunk", (it) => {
      it.diskBytenr = 1n << 50n;
    }),
    extent(
      "an extent beyond 2^53",
      (it) => {
        it.diskBytenr = HUGE - 4095n;
      },
      "limit",
    ),
    extent("an extent that reaches out of its chunk", (it) => {
      it.diskNumBytes = 1n << 52n;
      it.ramBytes = 1n << 52n;
    }),
    extent("an extent of which more is used than it has", (it) => {
      it.offset = 1n << 40n;
    }),
    extent("an extent that ends past 2^64", (it) => {
      it.numBytes = HUGE - 4095n;
    }),
    [
      "a file of 2^64 - 1 bytes",
      async (image) => {
        const [leaf, slot] = await leafWith(image, FS, EXTENT_DATA);
        let inode = slot;
        while (slotType(leaf, inode) !== INODE_ITEM) inode--;
        const at = itemStart(leaf, inode) + InodeItem.offsets.size;
        await image.editNode(leaf.logical, (node) => viewOf(node).setBigUint64(at, HUGE, true));
      },
      "corrupt",
    ],
    [
      "checksums of half a sector",
      async (image) => {
        const [leaf, slot] = await leafWith(image, CSUMS, EXTENT_CSUM);
        await image.editNode(leaf.logical, (node) => {
          const at = HEADER_BYTES + slot * ITEM_HEADER_BYTES + ItemHeader.offsets.keyOffset;
          viewOf(node).setUint32(at, viewOf(node).getUint32(at, true) + 1, true);
        });
      },
      "corrupt",
    ],
  ],
};

const IMAGE = "wide-4k";

test("an image of which nothing is a lie is read without a fault", async () => {
  expect(await harmless(new EditedImage(IMAGE))).toEqual([]);
});

describe.each(Object.entries(LIES))("%s", (_, lies) => {
  test.each(lies)("%s", async (_title, tell, code) => {
    const image = new EditedImage(IMAGE);
    await tell(image);
    const codes = (await harmless(image)).map((error) => error.code);
    if (code === undefined) expect(codes).toEqual([]);
    else expect(codes).toContain(code);
  });
});
