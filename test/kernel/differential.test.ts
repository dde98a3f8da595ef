import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import type { FilesystemOptions } from "./support/filesystem.ts";
import { makeHistory, type Profile } from "./support/history.ts";
import { describeKernel } from "./support/host.ts";
import type { Operation } from "./support/operations.ts";
import { type Sending, sendDifferences } from "./support/send-case.ts";
import { shrink } from "./support/shrink.ts";

// Random histories, as many as are asked for: `npm run differential -- --seed N --count M`.

interface Wanted {
  readonly seed: number;
  readonly count: number;
  readonly steps: number;
  readonly profiles: readonly Profile[];
}

const { BTRKIT_DIFFERENTIAL: asked } = process.env;
const wanted = asked === undefined ? undefined : (JSON.parse(asked) as Wanted);

const NODE_SIZES = [16384, 4096];
const MOUNTS = ["", "compress=zstd", "compress=lzo", "compress-force=zlib"];
/** Runs of a history that a shrink may take. */
const MAX_TRIES = 200;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** @returns How many streams were the same and how many were not. */
async function tryHistory(seed: number, { profiles, steps }: Wanted): Promise<{ same: number; different: number }> {
  const turn = Math.floor(seed / profiles.length);
  const profile = profiles[seed % profiles.length]!;
  const nodeSize = NODE_SIZES[turn % NODE_SIZES.length]!;
  const mount = MOUNTS[Math.floor(turn / NODE_SIZES.length) % MOUNTS.length]!;
  const about = `seed ${seed}, ${profile}, nodes of ${nodeSize}, ${mount || "uncompressed"}`;
  const operations = makeHistory({ seed, profile, steps, maxNames: 60, snapshots: 2 + (seed % 4) });
  const filesystem = { mkfs: ["--nodesize", String(nodeSize)], ...(mount === "" ? {} : { mount }) };
  const { same, differences } = await sendDifferences(operations, { filesystem, lenient: true });
  say(`${about}: ${same} same, ${differences.length} different`);
  const first = differences[0];
  if (first !== undefined) {
    say(`${JSON.stringify(first.sending)}\n${first.what}`);
    await report(seed, operations, filesystem, first.sending);
  }
  return { same, different: differences.length };
}

/** Writes down the least history that still shows the difference. */
async function report(
  seed: number,
  operations: readonly Operation[],
  filesystem: FilesystemOptions,
  sending: Sending,
): Promise<void> {
  const isDifferent = async (fewer: readonly Operation[]): Promise<boolean> => {
    try {
      const { differences } = await sendDifferences(fewer, { filesystem, lenient: true, sendings: [sending] });
      return differences.length > 0;
    } catch {
      // Without one of its snapshots it shows nothing.
      return false;
    }
  };
  const least = await shrink(operations, isDifferent, MAX_TRIES);
  const folder = resolve(import.meta.dirname, "../../.differential");
  mkdirSync(folder, { recursive: true });
  const file = resolve(folder, `seed-${seed}.json`);
  writeFileSync(file, JSON.stringify({ filesystem, sending, operations: least }, undefined, 1));
  say(`${least.length} of ${operations.length} operations show it: ${file}`);
  const { differences } = await sendDifferences(least, { filesystem, lenient: true, sendings: [sending] });
  say(differences[0]?.what ?? "");
}

describeKernel("random histories", () => {
  test.skipIf(wanted === undefined)(
    "every stream is the kernel's, byte for byte",
    { timeout: 86_400_000 },
    async () => {
      const { seed, count } = wanted!;
      const sum = { same: 0, different: 0 };
      for (let at = seed; at < seed + count; at++) {
        const { same, different } = await tryHistory(at, wanted!);
        sum.same += same;
        sum.different += different;
      }
      say(`${count} histories: ${sum.same} streams are the same, ${sum.different} are different`);
      expect(sum.different).toBe(0);
    },
  );
});
