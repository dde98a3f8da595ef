import { expect, test } from "vitest";
import { describeKernel } from "./support/host.ts";
import { run } from "./support/run.ts";
import { type Sending, sendDifferences } from "./support/send-case.ts";

// Directories put together anew, at random: moves that wait for each other, and loops of paths, which histories of single
// steps hardly come to.

const COUNT = Number(process.env.BTRKIT_SEEDS ?? 60);

/** Makes a subvolume of each seed with a tree of empty directories, and then another tree of the same ones. */
const SCRIPT = `
import os, random, subprocess, sys

def btrfs(*words):
    subprocess.run(["btrfs", "-q", "subvolume", *words], check=True)

def tree(count):
    """Directory above each, by number; the first ones are in the top."""
    order = list(range(count))
    random.shuffle(order)
    return {one: random.choice(order[:at][-random.choice([1, 2, 3, 30]):]) if at > 0 and random.random() < 0.85 else None for at, one in enumerate(order)}

def named(above, names):
    taken, result = set(), {}
    for one, parent in above.items():
        name = random.choice([name for name in names if (parent, name) not in taken])
        taken.add((parent, name))
        result[one] = name
    return result

def place(above, names, top):
    # Out of each other's way first.
    for one in above: os.rename(where[one], f"{top}/t{one}") if one in where else os.mkdir(f"{top}/t{one}")
    for one, parent in above.items():
        target = f"{top if parent is None else where[parent]}/{names[one]}"
        os.rename(f"{top}/t{one}", target)
        where[one] = target

def flatten(above, top):
    for one in reversed(list(above)):
        os.rename(where[one], f"{top}/u{one}")
        where[one] = f"{top}/u{one}"

for seed in range(int(sys.argv[1])):
    random.seed(seed)
    top, where, count = f"live-{seed}", {}, random.randint(4, 9) if seed % 2 else random.randint(10, 24)
    names = "abcdefghijklmnopqrstuvwxy"[: max(count, 5)] if seed % 3 else "abcdefghijklmnopqrstuvwxyz"
    btrfs("create", top)
    above = tree(count)
    for one in range(count): os.mkdir(f"{top}/u{one}")
    where = {one: f"{top}/u{one}" for one in range(count)}
    place(above, named(above, names), top)
    btrfs("snapshot", "-r", top, f"one-{seed}")
    flatten(above, top)
    gone = random.sample(range(count), random.choice([0, 0, 1]))
    for one in gone: os.rmdir(where.pop(one))
    above = tree(count)
    for one in gone:
        parent = above.pop(one)
        for other in above:
            if above[other] == one: above[other] = parent
    place(above, named(above, names), top)
    btrfs("snapshot", "-r", top, f"two-{seed}")
`;

describeKernel("sends of directories that were put together anew", () => {
  test("are the kernel's streams", { timeout: 600_000 }, async () => {
    const sendings = Array.from({ length: COUNT }, (_, seed): Sending[] => [
      { snapshot: `two-${seed}`, parent: `one-${seed}` },
      { snapshot: `one-${seed}`, parent: `two-${seed}` },
      { snapshot: `two-${seed}` },
    ]).flat();
    const found = await sendDifferences([], {
      filesystem: { sizeMiB: 2048 },
      sendings,
      afterwards: async ({ directory }) => {
        await run("python3", ["-c", SCRIPT, String(COUNT)], { directory });
        await run("btrfs", ["filesystem", "sync", directory]);
      },
    });
    expect(found.differences).toEqual([]);
    expect(found.same).toBe(sendings.length);
  });
});
