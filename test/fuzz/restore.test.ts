import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { ByteSource, Read } from "../../src/device/source.ts";
import { BtrfsError } from "../../src/errors.ts";
import type { NodeBlock } from "../../src/format/node.ts";
import { closeRestoreHost, openRestoreHost, restoreTargetOf } from "../../src/linux/restore-host.ts";
import { openVolume } from "../../src/volume/open.ts";
import { seal } from "../support/damage.ts";
import { MemoryTarget } from "../support/memory-target.ts";
import { PatchedSource } from "../support/patched-source.ts";
import { restoreAll } from "../support/restoring.ts";
import { everyNode, regularExtents } from "../support/volume-walk.ts";
import { imageSource, type TreeEntry } from "../support.ts";
import { Random } from "./mutate.ts";

// Restores of images that are hostile, damaged, or lose a device on the way. Whatever comes out is what the image has, or is
// named as lost; nothing is written outside of the target, nothing hangs, and nothing stays open.

const RUNS = Number(process.env.FUZZ_RUNS ?? 4);
const MAX_MILLISECONDS = 20_000;

const folder = mkdtempSync(join(tmpdir(), "btrkit-fuzz-restore-"));
// Node's own removal does not reach the deepest directory.
afterAll(() => execFileSync("rm", ["-rf", folder]));

async function nodesOf(source: ByteSource): Promise<NodeBlock[]> {
  const nodes: NodeBlock[] = [];
  for await (const { node } of everyNode(await openVolume([source]))) nodes.push(node);
  return nodes;
}

/** One to four places of a node, in its keys and item headers or in the data of its items. */
function mutate(node: NodeBlock, random: Random): Uint8Array {
  const data = node.bytes.slice();
  const inHeaders = random.below(2) === 0;
  const from = inHeaders ? 0x20 : data.byteLength - Math.min(data.byteLength - 101, 120 * node.count);
  const to = inHeaders ? 101 + 25 * Math.max(node.count, 1) : data.byteLength;
  for (let count = 1 + random.below(4); count > 0; count--) {
    const at = from + random.below(to - from);
    const kind = random.below(5);
    if (kind === 0) data[at]! ^= 1 << random.below(8);
    else if (kind === 1) data[at] = random.below(256);
    else if (kind === 2) data.fill(random.below(2) * 255, at, Math.min(at + 1 + random.below(8), to));
    else if (kind === 3) data.set([0x2e, 0x2e, 0x2f].slice(0, to - at), at);
    else data[at] = random.below(4);
  }
  return data;
}

describe.each(["everything", "compressed"])("hostile nodes of %s, with checksums that are right", (name) => {
  test("a restore writes inside of its target only, ends, and closes what it opened", async () => {
    const sound = imageSource(name);
    const volume = await openVolume([sound]);
    const nodes = await nodesOf(sound);
    for (let seed = 0; seed < RUNS; seed++) {
      const random = new Random(seed);
      const node = nodes[random.below(nodes.length)]!;
      const data = mutate(node, random);
      await seal(data, volume.checksum.type);
      const store = new PatchedSource(sound);
      for (const { physical } of volume.copiesOf(node.logical, volume.nodeSize)) store.patch(physical, data);

      const around = join(folder, `${name}-${seed}`);
      const root = join(around, "target");
      mkdirSync(root, { recursive: true });
      writeFileSync(join(around, "beside"), "as it was");
      const host = openRestoreHost(root);
      const before = openDescriptors();
      const started = performance.now();
      try {
        await restoreAll([store], restoreTargetOf(host));
      } catch (error) {
        if (!(error instanceof BtrfsError)) throw new Error(`seed ${seed} gives ${String(error)}`, { cause: error });
      }
      expect(performance.now() - started, `seed ${seed}`).toBeLessThan(MAX_MILLISECONDS);
      expect(openDescriptors(), `seed ${seed}`).toBe(before);
      closeRestoreHost(host);
      expect(readdirSync(around).sort()).toEqual(["beside", "target"]);
      expect(readFileSync(join(around, "beside"), "utf8")).toBe("as it was");
      expect(temporaries(root), `seed ${seed}`).toEqual([]);
      execFileSync("rm", ["-rf", around]);
    }
  }, 120_000);
});

function openDescriptors(): number {
  return process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0;
}

function temporaries(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: "utf8" }).filter((path) => path.includes(".btrkit-"));
}

/** Files by path that are not named as lost, with what they hold. */
function sound(tree: readonly TreeEntry[], lost: ReadonlySet<string>): Map<string, string | undefined> {
  const files = tree.filter(({ type, path, link }) => type === "file" && !lost.has(link ?? path));
  return new Map(files.map(({ path, sha256, blocks }) => [path, sha256 ?? blocks]));
}

const lostPaths = (problems: readonly { path: Uint8Array }[]) =>
  new Set(problems.map(({ path }) => Buffer.from(path).toString("latin1")));

describe.each([
  ["at once", false],
  ["the long way", true],
])("damaged data, plain files %s", (_, withoutFileCalls) => {
  test.each(["everything", "compressed"])(
    "what is not named as lost in %s is what it was",
    async (name) => {
      const whole = new MemoryTarget();
      await restoreAll([imageSource(name)], whole);
      const good = sound(whole.tree(), new Set());
      const volume = await openVolume([imageSource(name)]);
      const trees = [...new Set((await nodesOf(imageSource(name))).map(({ owner }) => owner))];
      const extents = (
        await Promise.all(
          trees
            .filter((owner) => owner === 5n || owner >= 256n)
            .map((owner) => regularExtents(volume, owner).catch(() => [])),
        )
      ).flat();
      let damagedRuns = 0;
      for (let seed = 0; seed < RUNS; seed++) {
        const random = new Random(seed);
        const store = new PatchedSource(imageSource(name));
        for (let count = 1 + random.below(5); count > 0; count--) {
          const { logical, diskBytes } = random.pick(extents);
          const at = logical + random.below(diskBytes);
          for (const { physical } of volume.copiesOf(at, 1)) {
            const byte = new Uint8Array(1);
            store.readSync(physical, byte);
            store.patch(physical, Uint8Array.of(byte[0]! ^ (1 << random.below(8))));
          }
        }
        const target = new MemoryTarget({ withoutFileCalls });
        const { problems } = await restoreAll([store], target);
        expect(target.openHandles).toBe(0);
        if (problems.length > 0) damagedRuns++;
        for (const [path, content] of sound(target.tree(), lostPaths(problems))) {
          expect([seed, path, content]).toEqual([seed, path, good.get(path)]);
        }
      }
      expect(damagedRuns).toBeGreaterThan(RUNS / 2);
    },
    120_000,
  );
});

/** A device that is pulled out after some reads. */
class FailingSource implements ByteSource {
  readonly name = "failing";
  readonly #source: ByteSource;
  #left: number;

  constructor(source: ByteSource, reads: number) {
    this.#source = source;
    this.#left = reads;
  }

  get size(): number {
    return this.#source.size;
  }

  async read(at: number, target: Uint8Array): Promise<void> {
    this.#count(at);
    await this.#source.read(at, target);
  }

  readSync(at: number, target: Uint8Array): void {
    this.#count(at);
    this.#source.readSync!(at, target);
  }

  async readBatch(reads: readonly Read[]): Promise<void> {
    for (const { at, target } of reads) await this.read(at, target);
  }

  #count(physical: number): void {
    if (this.#left-- <= 0) throw new BtrfsError("io", "Cannot read: the device is gone", { where: { physical } });
  }
}

test("a device of a mirror that goes on the way costs nothing", async () => {
  const whole = new MemoryTarget();
  await restoreAll([imageSource("raid1", 1), imageSource("raid1", 2)], whole);
  for (const reads of [20, 30, 50, 80, 120]) {
    for (const gone of [0, 1]) {
      const sources = [1, 2].map((number) => imageSource("raid1", number));
      sources[gone] = new FailingSource(sources[gone]!, reads);
      const target = new MemoryTarget();
      const { problems } = await restoreAll(sources, target);
      expect([reads, gone, problems]).toEqual([reads, gone, []]);
      expect(target.tree()).toEqual(whole.tree());
      expect(target.openHandles).toBe(0);
    }
  }
});

test("the only device that goes on the way costs what is not read yet, and all of that is named", async () => {
  const whole = new MemoryTarget();
  await restoreAll([imageSource("everything")], whole);
  const good = sound(whole.tree(), new Set());
  let losses = 0;
  for (let reads = 20; reads < 200; reads += 15) {
    const target = new MemoryTarget();
    try {
      const { problems, summary } = await restoreAll([new FailingSource(imageSource("everything"), reads)], target);
      losses += summary.problems.lost;
      const lost = lostPaths(problems);
      for (const [path, content] of sound(target.tree(), lost)) {
        expect([reads, path, content]).toEqual([reads, path, good.get(path)]);
      }
    } catch (error) {
      // Too early to know even the root of the tree.
      expect(error).toBeInstanceOf(BtrfsError);
    }
    expect(target.openHandles).toBe(0);
  }
  expect(losses).toBeGreaterThan(0);
});
