import { expect, test } from "vitest";
import { CorruptError } from "../../src/errors.ts";
import { NodeBlock } from "../../src/format/node.ts";
import { checkNode } from "../../src/tree/check.ts";
import { expectationOf, limitsOf, realNodes } from "../support/nodes.ts";

const nodes = realNodes();
const limits = limitsOf(nodes);

/** How often each block is damaged; more with `FUZZ_ROUNDS`. */
const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 400);

test("blocks that the kernel wrote pass every check", () => {
  expect(nodes.length).toBeGreaterThan(30);
  for (const node of nodes) checkNode(node, node.logical, expectationOf(node), limits);
});

// Checksums do not count here: whoever forges a block forges its checksum as well.
test("a damaged block is corrupt or sound, and takes apart without any other error", () => {
  const random = generator(1);
  let refused = 0;
  for (const node of nodes) {
    const { logical } = node;
    const expectation = expectationOf(node);
    for (let round = 0; round < ROUNDS; round++) {
      const damaged = new NodeBlock(damage(node.bytes, random));
      try {
        checkNode(damaged, logical, expectation, limits);
      } catch (error) {
        if (!(error instanceof CorruptError)) throw error;
        refused++;
      }
    }
  }
  expect(refused).toBeGreaterThan((nodes.length * ROUNDS) / 4);
});

/** One to three bytes changed: mostly a bit, else to one of the values that break limits. */
function damage(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  const copy = bytes.slice();
  for (let count = 1 + random(3); count > 0; count--) {
    // Half of the damage goes to the first 600 bytes, where headers are.
    const at = random(2) === 0 ? random(600) : random(copy.byteLength);
    const kind = random(6);
    copy[at] = kind < 4 ? copy[at]! ^ (1 << random(8)) : kind === 4 ? 0xff : 0;
  }
  return copy;
}

/** Numbers below a bound, the same on every run. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * below);
  };
}
