import { expect, test } from "vitest";
import type { TreeEntry } from "../support.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { describeKernel } from "./support/host.ts";
import { peerReceive } from "./support/peer.ts";
import { run } from "./support/run.ts";
import { type Sending, sendDifferences } from "./support/send-case.ts";
import { FUNCTIONS, SCENARIO_SCRIPTS } from "./support/send-scenarios.ts";
import { treeDifferences, treeOf } from "./support/tree.ts";

// Scenarios after those of fstests, rebuilt: each in a subvolume of its own with two snapshots, in full and against each
// other, uncompressed and compressed; and what is received has to be what was sent.

/** A thousand sends and receives, on a busy machine. */
const LIMIT_MS = 1_200_000;
const FORMS = [
  { nodeSize: 16384, mount: "compress-force=zstd" },
  { nodeSize: 4096, mount: "" },
] as const;

type Step = "before" | "middle" | "after";

/** Nested subvolumes: empty directories in a snapshot, nothing in the stream. */
const NESTED = new Set(
  SCENARIO_SCRIPTS.flatMap(({ like, nested = {} }) =>
    Object.entries(nested).flatMap(([name, paths]) => paths.map((path) => `${name}-${like}/${path}`)),
  ),
);

/** A bash script of one step of all scenarios, and a snapshot of each where the step ends in one. */
function scriptOf(step: Step, nodeSize: number): string {
  let script = `BIG=${(nodeSize * 3) / 8}${FUNCTIONS}`;
  for (const scenario of SCENARIO_SCRIPTS) {
    const { like } = scenario;
    if (step === "before") script += `btrfs -q subvolume create live-${like}\n`;
    if (scenario[step] !== undefined) script += `( cd live-${like}; ${scenario[step]} ); sync -f .\n`;
    if (step !== "middle") {
      script += `btrfs -q subvolume snapshot -r live-${like} ${step === "before" ? "one" : "two"}-${like}\n`;
    }
  }
  return script;
}

describeKernel("sends of what went wrong elsewhere", () => {
  test.each(FORMS)(
    "are the kernel's streams: nodes of $nodeSize, $mount",
    { timeout: LIMIT_MS },
    async ({ nodeSize, mount }) => {
      const sendings: Sending[] = [];
      for (const { like } of SCENARIO_SCRIPTS) {
        const [one, two] = [`one-${like}`, `two-${like}`];
        sendings.push({ snapshot: one, compressed: true }, { snapshot: two, parent: one, compressed: true });
        sendings.push({ snapshot: two, parent: one, protocol: 1 }, { snapshot: two, compressed: true });
        sendings.push({ snapshot: one, parent: two, protocol: 2 });
      }
      await using receiver = await TestFilesystem.make({ mount: "compress=zstd", sizeMiB: 1024 });
      const received: string[] = [];
      const found = await sendDifferences([], {
        filesystem: { mkfs: ["--nodesize", String(nodeSize)], ...(mount === "" ? {} : { mount }), sizeMiB: 1024 },
        sendings,
        afterwards: async (filesystem) => {
          const { directory } = filesystem;
          for (const step of ["before", "middle", "after"] as const) {
            await run("bash", ["-ec", scriptOf(step, nodeSize)], { directory });
            if (step === "middle") await filesystem.renew();
          }
          await run("btrfs", ["filesystem", "sync", directory]);
        },
        onStreams: async ({ directory }, streams) => {
          for (const [index, { snapshot, parent, protocol }] of sendings.entries()) {
            const isFirst = snapshot.startsWith("one");
            if (protocol !== undefined || isFirst !== (parent === undefined)) continue;
            await peerReceive(streams[index]!, receiver.directory);
          }
          const isSent = ({ path }: TreeEntry): boolean => /^(one|two)-/.test(path) && !NESTED.has(path);
          const sent = (await treeOf(directory)).filter(isSent);
          expect(sent.length).toBeGreaterThan(1000);
          const differences = treeDifferences((await treeOf(receiver.directory)).filter(isSent), sent);
          // Temporary names change the times of the top, which the kernel does not always set once more.
          received.push(...differences.filter((line) => !/^"(one|two)-\d+": mtime/.test(line)));
        },
      });
      expect(received).toEqual([]);
      expect(found.differences).toEqual([]);
      expect(found.same).toBe(sendings.length);
    },
  );
});
