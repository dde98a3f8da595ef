import { EXTENT_CSUM } from "../format/key-type.ts";
import { EXTENT_CSUM_OBJECTID } from "../format/objectid.ts";
import { maxChecksums } from "../transaction/checksums.ts";
import type { TreeRoot, TreeWriter } from "./tree-writer.ts";

const OBJECTID = Number(BigInt.asIntN(64, EXTENT_CSUM_OBJECTID));

/** Writes the checksum tree, from checksums in the order of addresses. */
export class ChecksumWriter {
  readonly #tree: TreeWriter;
  readonly #sectorSize: number;
  readonly #checksumSize: number;
  readonly #item: Uint8Array;
  #used = 0;
  #start = 0;

  constructor(tree: TreeWriter, nodeSize: number, sectorSize: number, checksumSize: number) {
    this.#tree = tree;
    this.#sectorSize = sectorSize;
    this.#checksumSize = checksumSize;
    this.#item = new Uint8Array(maxChecksums(nodeSize, checksumSize) * checksumSize);
  }

  /** @param values Checksums of the sectors from `logical` on. */
  add(logical: number, values: Uint8Array): void {
    for (let at = 0; at < values.byteLength; ) {
      const address = logical + (at / this.#checksumSize) * this.#sectorSize;
      const expected = this.#start + (this.#used / this.#checksumSize) * this.#sectorSize;
      if (this.#used === this.#item.byteLength || address !== expected) this.#flush();
      if (this.#used === 0) this.#start = address;
      const part = values.subarray(at, at + this.#item.byteLength - this.#used);
      this.#item.set(part, this.#used);
      this.#used += part.byteLength;
      at += part.byteLength;
    }
  }

  finish(): TreeRoot {
    this.#flush();
    return this.#tree.finish();
  }

  #flush(): void {
    if (this.#used === 0) return;
    this.#tree.add(OBJECTID, EXTENT_CSUM, this.#start, this.#used);
    this.#tree.bytes.set(this.#item.subarray(0, this.#used), this.#tree.at);
    this.#used = 0;
  }
}
