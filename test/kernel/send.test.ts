import { expect, test } from "vitest";
import { makeHistory, type Profile } from "./support/history.ts";
import { describeKernel } from "./support/host.ts";
import { sendDifferences } from "./support/send-case.ts";

// The kernel sends on the mount, we send from the unmounted image, and both streams have to be the same bytes: each of
// three snapshots in full and against each other, uncompressed in both protocols and compressed. The seeds are fixed;
// BTRKIT_SEEDS asks for more, `npm run differential` for any.

const seeds = Array.from({ length: Number(process.env.BTRKIT_SEEDS ?? 2) }, (_, index) => index + 1);
const profiles: readonly Profile[] = ["names", "data", "reflinks", "everything"];
const forms = [
  { nodeSize: 16384, mount: "compress=zstd" },
  { nodeSize: 4096, mount: "compress=lzo" },
  { nodeSize: 16384, mount: "compress-force=zlib" },
  { nodeSize: 4096, mount: "" },
] as const;
const cases = profiles.flatMap((profile) =>
  seeds.map((seed) => ({ profile, seed, ...forms[(seed + profiles.indexOf(profile)) % forms.length]! })),
);

describeKernel("sends of unmounted images", () => {
  test.each(cases)(
    "are the kernel's streams: $profile, seed $seed, nodes of $nodeSize, $mount",
    async ({ profile, seed, nodeSize, mount }) => {
      const filesystem = { mkfs: ["--nodesize", String(nodeSize)], ...(mount === "" ? {} : { mount }) };
      const found = await sendDifferences(makeHistory({ seed, profile }), { filesystem, lenient: true });
      expect(found.differences).toEqual([]);
      expect(found.same).toBe(30);
    },
  );
});
