import { expect, test } from "vitest";
import { viewOf } from "../src/bytes/bytes.ts";
import { newStruct } from "../src/bytes/struct.ts";
import { OverlayDevice } from "../src/device/overlay.ts";
import type { ByteStore } from "../src/device/source.ts";
import { DevReplaceItem, REPLACE_STARTED, REPLACE_SUSPENDED } from "../src/format/device-items.ts";
import { type Key, keyOf } from "../src/format/key.ts";
import { DEV_REPLACE, ROOT_ITEM, TEMPORARY_ITEM } from "../src/format/key-type.ts";
import * as ids from "../src/format/objectid.ts";
import * as flags from "../src/format/superblock.ts";
import { bytesOf } from "../src/transaction/chunk-items.ts";
import { newRootItem } from "../src/transaction/new-items.ts";
import { openWritableVolume } from "../src/transaction/writable.ts";
import { rewriteSuperblock } from "./support/damage.ts";
import { packedVolume } from "./support/packed-volume.ts";
import { imageSource } from "./support.ts";

/** Counts what is written. */
class Watched extends OverlayDevice {
  writes = 0;

  override async write(at: number, data: Uint8Array): Promise<void> {
    this.writes++;
    await super.write(at, data);
  }
}

async function refusal(stores: readonly ByteStore[]): Promise<string> {
  const watched = stores.map((store) => new Watched(store));
  const outcome = await openWritableVolume(watched).then(
    () => "it is opened",
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  expect(watched.map(({ writes }) => writes)).toEqual(watched.map(() => 0));
  return outcome;
}

const devices = (name: string, count: number): ByteStore[] =>
  Array.from({ length: count }, (_, index) => new OverlayDevice(imageSource(name, index + 1)));

async function withSuperblock(change: (superblock: InstanceType<typeof flags.Superblock>) => void): Promise<ByteStore> {
  const store = new OverlayDevice(imageSource("compressed"));
  await rewriteSuperblock(store, (data) => change(new flags.Superblock(viewOf(data))));
  return store;
}

test("what can be written is opened", async () => {
  for (const [name, count] of [
    ["compressed", 1],
    ["mixed-xxhash", 1],
    ["quota", 1],
    ["raid1", 2],
    ["raid1c3", 3],
    ["raid10", 4],
    ["raid0", 2],
  ] as const)
    expect(`${name}: ${await refusal(devices(name, count))}`).toBe(`${name}: it is opened`);
});

test.each([
  ["raid5", 3],
  ["raid6", 4],
] as const)("%s is refused by its name", async (name, count) => {
  expect(await refusal(devices(name, count))).toMatch(new RegExp(`chunks of ${name}`));
});

test("a filesystem without one of its devices is refused", async () => {
  expect(await refusal(devices("raid1", 1))).toMatch(/its device 2/);
});

test("a log tree that waits for its replay is refused", async () => {
  const stores = packedVolume("mixed-log").map((source) => new OverlayDevice(source));
  expect(await refusal(stores)).toMatch(/log tree waits/);
});

const MARKS: readonly (readonly [string, (superblock: InstanceType<typeof flags.Superblock>) => void, RegExp])[] = [
  [
    "an unknown incompatible feature",
    (it) => {
      it.incompatFlags |= 1n << 40n;
    },
    /0x10000000000/,
  ],
  [
    "zoned",
    (it) => {
      it.incompatFlags |= 1n << 12n;
    },
    /zoned/,
  ],
  [
    "extent tree v2",
    (it) => {
      it.incompatFlags |= 1n << 13n;
    },
    /extent-tree-v2/,
  ],
  [
    "the raid stripe tree",
    (it) => {
      it.incompatFlags |= 1n << 14n;
    },
    /raid-stripe-tree/,
  ],
  [
    "the remap tree",
    (it) => {
      it.incompatFlags |= 1n << 17n;
    },
    /remap-tree/,
  ],
  [
    "simple quotas",
    (it) => {
      it.incompatFlags |= flags.INCOMPAT_SIMPLE_QUOTA;
    },
    /simple-quota/,
  ],
  [
    "an unknown feature for writers",
    (it) => {
      it.compatRoFlags |= 1n << 40n;
    },
    /does not know/,
  ],
  [
    "a free space tree that is not valid",
    (it) => {
      it.compatRoFlags = flags.COMPAT_RO_FREE_SPACE_TREE;
    },
    /free space tree is not valid/,
  ],
  [
    "references of the oldest form",
    (it) => {
      it.incompatFlags &= ~flags.INCOMPAT_MIXED_BACKREF;
    },
    /oldest form/,
  ],
  [
    "the mark of an error",
    (it) => {
      it.flags |= flags.SUPER_FLAG_ERROR;
    },
    /marked: error/,
  ],
  [
    "a seed",
    (it) => {
      it.flags |= flags.SUPER_FLAG_SEEDING;
    },
    /seeding/,
  ],
  [
    "a metadump",
    (it) => {
      it.flags |= flags.SUPER_FLAG_METADUMP_V2;
    },
    /metadump-v2/,
  ],
  [
    "a changing uuid",
    (it) => {
      it.flags |= flags.SUPER_FLAG_CHANGING_FSID_V2;
    },
    /a change of its/,
  ],
  [
    "changing checksums",
    (it) => {
      it.flags |= flags.SUPER_FLAG_CHANGING_DATA_CSUM;
    },
    /a change of its/,
  ],
];

test.each(MARKS)("%s is refused by name, and nothing is written", async (_, change, says) => {
  expect(await refusal([await withSuperblock(change)])).toMatch(says);
});

test("an image cut short is refused", async () => {
  const store = new OverlayDevice(imageSource("compressed"));
  await store.resize(store.size - 4096);
  expect(await refusal([store])).toMatch(/expected \d+/);
});

/** An image in which a tree has one item more. */
async function withItem(tree: bigint, key: Key, data: Uint8Array): Promise<ByteStore> {
  const store = new OverlayDevice(imageSource("compressed"));
  const volume = await openWritableVolume([store]);
  await volume.transaction((tx) => tx.insert(tree, key, data));
  return store;
}

function replacement(state: bigint): Uint8Array {
  const item = newStruct(DevReplaceItem);
  item.replaceState = state;
  return bytesOf(item);
}

const REPLACEMENT = keyOf(0n, DEV_REPLACE, 0n);

test("a paused balance is refused", async () => {
  const store = await withItem(
    ids.ROOT_TREE_OBJECTID,
    keyOf(ids.BALANCE_OBJECTID, TEMPORARY_ITEM, 0n),
    new Uint8Array(448),
  );
  expect(await refusal([store])).toMatch(/balance is paused/);
});

test("an interrupted relocation is refused, of whichever tree", async () => {
  for (const tree of [ids.FS_TREE_OBJECTID, 300n]) {
    const root = newRootItem({ logical: 0, level: 0, generation: 1, nodeSize: 16384 });
    const store = await withItem(
      ids.ROOT_TREE_OBJECTID,
      keyOf(ids.TREE_RELOC_OBJECTID, ROOT_ITEM, tree),
      bytesOf(root),
    );
    expect(await refusal([store])).toMatch(/relocation was interrupted/);
  }
});

test.each([REPLACE_STARTED, REPLACE_SUSPENDED])("a device replacement in state %s is refused", async (state) => {
  const store = await withItem(ids.DEV_TREE_OBJECTID, REPLACEMENT, replacement(state));
  expect(await refusal([store])).toMatch(/device replacement runs or is suspended/);
});

test("a device replacement that has ended is none", async () => {
  const finished = 2n;
  const store = await withItem(ids.DEV_TREE_OBJECTID, REPLACEMENT, replacement(finished));
  expect(await refusal([store])).toBe("it is opened");
});

test("a device that missed the last commit is refused", async () => {
  const old = devices("raid1", 2);
  const newer = old.map((store) => new OverlayDevice(store));
  const writable = await openWritableVolume(newer);
  await writable.transaction((tx) => tx.insert(9n, keyOf(1n, 77, 0n), new Uint8Array(1)));
  expect(await refusal([newer[0]!, old[1]!])).toMatch(/a device missed the last commits/);
  expect(await refusal([old[0]!, newer[1]!])).toMatch(/a device missed the last commits/);
  expect(await refusal(newer)).toBe("it is opened");
});
