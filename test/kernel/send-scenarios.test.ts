import { expect, test } from "vitest";
import { describeKernel } from "./support/host.ts";
import { run } from "./support/run.ts";
import { type Sending, sendDifferences } from "./support/send-case.ts";
import { FUNCTIONS, SCENARIO_SCRIPTS } from "./support/send-scenarios.ts";

// Scenarios after those of fstests, rebuilt: each in a subvolume of its own with two snapshots, in full and against each
// other, uncompressed and compressed.

const FORMS = [
  { nodeSize: 16384, mount: "compress-force=zstd" },
  { nodeSize: 4096, mount: "" },
] as const;

describeKernel("sends of what went wrong elsewhere", () => {
  test.each(FORMS)("are the kernel's streams: nodes of $nodeSize, $mount", async ({ nodeSize, mount }) => {
    const sendings: Sending[] = [];
    let script = `BIG=${(nodeSize * 3) / 8}${FUNCTIONS}`;
    for (const { like, before, after } of SCENARIO_SCRIPTS) {
      const [live, one, two] = ["live", "one", "two"].map((name) => `${name}-${like}`) as [string, string, string];
      const inside = (steps: string): string => `( cd ${live}; ${steps} ); sync -f .\n`;
      const snapshot = (name: string): string => `btrfs -q subvolume snapshot -r ${live} ${name}\n`;
      script += `btrfs -q subvolume create ${live}\n${inside(before)}${snapshot(one)}${inside(after)}${snapshot(two)}`;
      sendings.push({ snapshot: two, parent: one, protocol: 1 }, { snapshot: two, parent: one, compressed: true });
      sendings.push({ snapshot: two, compressed: true }, { snapshot: one, parent: two, protocol: 2 });
    }
    const found = await sendDifferences([], {
      filesystem: { mkfs: ["--nodesize", String(nodeSize)], ...(mount === "" ? {} : { mount }), sizeMiB: 1024 },
      sendings,
      afterwards: async ({ directory }) => {
        await run("bash", ["-ec", script], { directory });
        await run("btrfs", ["filesystem", "sync", directory]);
      },
    });
    expect(found.differences).toEqual([]);
    expect(found.same).toBe(sendings.length);
  });
});
