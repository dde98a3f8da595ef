import { HISTORY_PROFILES, type HistoryProfile } from "../../support/image-history.ts";
import type { HistoryEvent, HistoryImage, HistoryPlan } from "./image-run.ts";
import { Random } from "./random.ts";

/** What histories begin with, in turn; 4K and 16K nodes most of all. */
export const HISTORY_IMAGES: readonly HistoryImage[] = [
  { make: { nodeSize: 4096 }, sizeMiB: 300 },
  { make: { nodeSize: 16384 }, sizeMiB: 300 },
  { make: { nodeSize: 4096, noHoles: false, checksum: "sha256", metadata: "single" }, sizeMiB: 300 },
  { make: { nodeSize: 16384, checksum: "xxhash64", blockGroupTree: true, data: "dup" }, sizeMiB: 400 },
  { make: { nodeSize: 4096, metadata: "single" }, sizeMiB: 48 },
  { mkfs: ["--mixed"], sizeMiB: 200 },
  { make: { nodeSize: 4096, blockGroupTree: true }, sizeMiB: 300 },
  { mkfs: ["--nodesize", "4096", "-d", "raid1", "-m", "raid1"], devices: 2, sizeMiB: 200 },
  { make: { nodeSize: 16384, freeSpaceTree: false, noHoles: false }, sizeMiB: 300 },
  { mkfs: ["--nodesize", "16384", "-d", "single", "-m", "raid1"], devices: 2, sizeMiB: 160 },
  { make: { nodeSize: 65536, checksum: "blake2b" }, sizeMiB: 400 },
  { mkfs: ["--nodesize", "4096", "-d", "raid1c3", "-m", "raid1c3", "--csum", "xxhash"], devices: 3, sizeMiB: 200 },
  { mkfs: ["--nodesize", "16384", "-d", "raid0", "-m", "raid10"], devices: 4, sizeMiB: 200 },
];

const MOUNTS = [undefined, "compress=zstd", "compress-force=lzo", "compress=zlib,max_inline=0"];

/** The plan of a seed: so many steps by btrkit, then the kernel, then a few steps more and the kernel again. */
export function planHistory(seed: number, steps: number): HistoryPlan {
  const random = new Random(seed);
  const profiles = Object.keys(HISTORY_PROFILES) as HistoryProfile[];
  const profile = profiles[Math.floor(seed / HISTORY_IMAGES.length) % profiles.length]!;
  const image = HISTORY_IMAGES[seed % HISTORY_IMAGES.length]!;
  const events: HistoryEvent[] = [
    ...btrkitSteps(random, steps),
    kernel(random),
    ...btrkitSteps(random, Math.ceil(steps / 10)),
    kernel(random),
  ];
  return { image, profile, maxBytes: random.pick([60_000, 150_000, 300_000]), events };
}

function kernel(random: Random): HistoryEvent {
  const mount = random.pick(MOUNTS);
  return { by: "kernel", seed: random.word(), ...(mount === undefined ? {} : { mount }) };
}

/** Most transactions have one step; some have several, that meet what others made and did not commit. */
function btrkitSteps(random: Random, steps: number): HistoryEvent[] {
  const events: HistoryEvent[] = [];
  while (events.length < steps) {
    const size = random.weighted({ one: 7, few: 2, many: 1 });
    const count = Math.min(
      steps - events.length,
      { one: 1, few: random.between(2, 5), many: random.between(6, 20) }[size],
    );
    for (let left = count; left > 0; left--) events.push({ by: "btrkit", seed: random.word(), ends: left === 1 });
  }
  return events;
}
