import type { NodeBlock } from "../format/node.ts";

interface Entry {
  readonly node: NodeBlock;
  used: boolean;
}

/**
 * Nodes by logical address, up to a number of bytes. What was not looked at since it was last passed over goes first,
 * so a long scan of leaves does not push out the inner nodes above them.
 */
export class NodeCache {
  readonly limitBytes: number;
  #bytes = 0;
  readonly #entries = new Map<number, Entry>();

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  /** Bytes of all nodes held; never above the limit. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The node at `logical`, if it is held and of this generation. */
  get(logical: number, generation: number): NodeBlock | undefined {
    const entry = this.#entries.get(logical);
    if (entry === undefined || entry.node.generation !== generation) return undefined;
    entry.used = true;
    return entry.node;
  }

  /** Holds `node` in place of any other at its address. */
  put(node: NodeBlock): void {
    const { logical } = node;
    const size = node.bytes.byteLength;
    this.delete(logical);
    if (size > this.limitBytes) return;
    this.#makeRoom(size);
    this.#entries.set(logical, { node, used: false });
    this.#bytes += size;
  }

  delete(logical: number): void {
    const entry = this.#entries.get(logical);
    if (entry === undefined) return;
    this.#entries.delete(logical);
    this.#bytes -= entry.node.bytes.byteLength;
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  /** A map lists what was set first first: the hand of the clock moves by setting an entry anew. */
  #makeRoom(size: number): void {
    for (const [logical, entry] of this.#entries) {
      if (this.#bytes + size <= this.limitBytes) return;
      this.#entries.delete(logical);
      if (entry.used) {
        entry.used = false;
        this.#entries.set(logical, entry);
      } else {
        this.#bytes -= entry.node.bytes.byteLength;
      }
    }
  }
}
