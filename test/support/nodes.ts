import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { NodeBlock, NodeHeader } from "../../src/format/node.ts";
import type { NodeLimits } from "../../src/tree/limits.ts";
import type { NodeExpectation } from "../../src/tree/source.ts";

const NODE_BYTES = 4096;

/** Tree blocks of a filesystem that the kernel wrote: `test/fixtures/make-nodes.py` makes them. */
export function realNodes(): NodeBlock[] {
  // Not a Buffer, whose slice() does not copy.
  const all = Uint8Array.from(gunzipSync(readFileSync(resolve(import.meta.dirname, "../fixtures/nodes.bin.gz"))));
  return Array.from(
    { length: all.byteLength / NODE_BYTES },
    (_, index) => new NodeBlock(all.subarray(index * NODE_BYTES, (index + 1) * NODE_BYTES)),
  );
}

/** What the filesystem that these blocks come from would say about them. */
export function limitsOf(nodes: readonly NodeBlock[]): NodeLimits {
  return {
    nodeSize: NODE_BYTES,
    sectorSize: 4096,
    checksumSize: 4,
    fsid: new NodeHeader(nodes[0]!.view).fsid.slice(),
    generation: Math.max(...nodes.map(({ generation }) => generation)),
  };
}

export function expectationOf({ level, generation, owner }: NodeBlock): NodeExpectation {
  return { level, generation, owner };
}
