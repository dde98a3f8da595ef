import { expect, test } from "vitest";
import { BLOCK_GROUP_DATA, type Profile, STRIPE_BYTES } from "../format/chunk.ts";
import { SUPERBLOCK_OFFSETS } from "../format/superblock.ts";
import type { Chunk } from "../volume/chunk-map.ts";
import { placeIn } from "../volume/raid.ts";
import { superblockRanges } from "./block-group.ts";
import { RangeSet } from "./range-set.ts";
import { Space } from "./space.ts";

const MIB = 1 << 20;
const SECTOR = 4096;

function chunkOf(profile: Profile, physical: readonly number[], stripeLength: number, dataStripes: number): Chunk {
  const stripes = physical.map((at, index) => ({ devid: index + 1, physical: at, deviceUuid: new Uint8Array(16) }));
  const length = stripeLength * dataStripes;
  return { start: 1024 * MIB, length, type: BLOCK_GROUP_DATA, profile, stripes, dataStripes, stripeLength };
}

/** The space of one chunk of data, all of it free. */
function spaceOf(chunk: Chunk): Space {
  return new Space({
    chunks: [chunk],
    devices: [],
    nodeSize: 16384,
    sectorSize: SECTOR,
    mixed: false,
    bytesUsed: 0,
    records: {
      usedIn: async () => 0,
      freeIn: async () => {
        const free = new RangeSet();
        free.add(chunk.start, chunk.start + chunk.length);
        return free;
      },
    },
  });
}

test("what the last commit holds is not handed out before the next", async () => {
  const chunk = chunkOf("single", [8 * MIB], MIB, 1);
  const space = spaceOf(chunk);
  const all = await space.allocate("data", chunk.length, SECTOR);
  await space.free(all, 8 * SECTOR, true);
  await expect(space.allocate("data", SECTOR, SECTOR)).rejects.toMatchObject({ code: "space" });
  await expect(space.allocateUpTo(8 * SECTOR, SECTOR)).rejects.toMatchObject({ code: "space" });
  space.committed();
  expect(await space.allocate("data", 8 * SECTOR, SECTOR)).toBe(all);
});

test("what no commit has seen can be handed out again at once", async () => {
  const space = spaceOf(chunkOf("single", [8 * MIB], MIB, 1));
  const all = await space.allocate("data", MIB, SECTOR);
  await space.free(all + 4 * SECTOR, 4 * SECTOR, false);
  expect(await space.allocate("data", 4 * SECTOR, SECTOR)).toBe(all + 4 * SECTOR);
});

// Each sector that is handed out is looked up where reads look, in every copy.
test.each<[Profile, readonly number[], number]>([
  ["single", [60 * MIB], 1],
  ["dup", [20 * MIB, 63 * MIB + 5 * STRIPE_BYTES], 1],
  ["raid1", [62 * MIB, 100 * MIB], 1],
  ["raid0", [62 * MIB, 61 * MIB + STRIPE_BYTES, 80 * MIB], 3],
  ["raid10", [62 * MIB, 10 * MIB, 63 * MIB, 64 * MIB], 2],
])("no sector of a %s chunk that is handed out lies on a superblock", async (profile, physical, dataStripes) => {
  const chunk = chunkOf(profile, physical, 6 * MIB, dataStripes);
  const space = spaceOf(chunk);
  let count = 0;
  for (;;) {
    const logical = await Promise.resolve(space.allocate("data", SECTOR, SECTOR)).catch(() => undefined);
    if (logical === undefined) break;
    count++;
    const { stripe, copies, at } = placeIn(chunk, logical);
    for (let index = stripe; index < stripe + copies; index++) {
      const place = chunk.stripes[index]!.physical + at;
      const hit = SUPERBLOCK_OFFSETS.find((offset) => place < offset + STRIPE_BYTES && place + SECTOR > offset);
      if (hit !== undefined) expect.fail(`logical ${logical} lies at ${place}, on the superblock at ${hit}`);
    }
  }
  const kept = superblockRanges(chunk).bytes;
  expect(kept).toBeGreaterThan(0);
  expect(count).toBe((chunk.length - kept) / SECTOR);
});
