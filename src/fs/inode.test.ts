import { expect, test } from "vitest";
import { Inode, type InodeStat } from "./inode.ts";
import type { Subvolume } from "./subvolume.ts";

const DEPTH = 20_000;

// As `du` walks it: every directory above is held.
test("directories that lie in each other by the thousands have no path each, until it is asked for", () => {
  const name = new Uint8Array(250).fill(0x6e);
  const stat = { kind: "directory" } as InodeStat;
  const subvolume = { id: 5n } as Subvolume;
  const before = process.memoryUsage().arrayBuffers;
  const chain = [new Inode(subvolume, 256n, stat, new Uint8Array(0))];
  for (let depth = 1; depth < DEPTH; depth++) {
    chain.push(new Inode(subvolume, BigInt(256 + depth), stat, chain[depth - 1]!.wayTo(name)));
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50 << 20);
  expect(chain[0]!.path).toEqual(new Uint8Array(0));
  expect(chain[2]!.path).toEqual(Uint8Array.from([...name, 0x2f, ...name]));
  expect(chain.at(-1)!.path!.byteLength).toBe((DEPTH - 1) * 251 - 1);
  expect(new Inode(subvolume, 300n, stat).wayTo(name)).toBeUndefined();
  const below = new Inode(subvolume, 301n, stat, Uint8Array.of(0x61));
  expect(new Inode(subvolume, 302n, stat, below.wayTo(Uint8Array.of(0x62))).path).toEqual(
    Uint8Array.of(0x61, 0x2f, 0x62),
  );
});
