import { closeSync, openSync, readSync } from "node:fs";
import { CHUNK_ITEM } from "../../src/format/key-type.ts";
import { itemData, NodeBlock, slotKey, slotType } from "../../src/format/node.ts";
import { CHUNK_TREE_OBJECTID, ROOT_TREE_OBJECTID } from "../../src/format/objectid.ts";
import { NodeCache } from "../../src/tree/cache.ts";
import { checkNode } from "../../src/tree/check.ts";
import type { NodeLimits } from "../../src/tree/limits.ts";
import type { LogicalSource, NodeExpectation, TreeRoot } from "../../src/tree/source.ts";
import { NodeTree } from "../../src/tree/tree.ts";

interface Mapping {
  readonly start: number;
  readonly length: number;
  readonly physical: number;
}

const SUPER_AT = 65536;

/**
 * Nodes of an image on one device whose chunks are single or dup: always the first copy, checksums not looked at.
 * The least that reading a tree takes, to test trees without a volume.
 */
export class ImageSource implements LogicalSource {
  readonly limits: NodeLimits;
  readonly rootTree: TreeRoot;
  readonly chunkTree: TreeRoot;
  readonly #file: number;
  readonly #mappings: Mapping[] = [];
  readonly #cache: NodeCache;

  private constructor(file: number, cacheBytes: number) {
    this.#file = file;
    this.#cache = new NodeCache(cacheBytes);
    const view = new DataView(new ArrayBuffer(4096));
    readSync(file, view, 0, 4096, SUPER_AT);
    const u64 = (at: number) => Number(view.getBigUint64(at, true));
    const sizes = [4, 8, 32, 32];
    const hasMetadataUuid = (u64(0xbc) & 0x400) !== 0;
    const fsidAt = hasMetadataUuid ? 0x23b : 0x20;
    this.limits = {
      nodeSize: view.getUint32(0x94, true),
      sectorSize: view.getUint32(0x90, true),
      checksumSize: sizes[view.getUint16(0xc4, true)]!,
      fsid: new Uint8Array(view.buffer.slice(fsidAt, fsidAt + 16)),
      generation: u64(0x48),
    };
    this.rootTree = {
      id: ROOT_TREE_OBJECTID,
      logical: u64(0x50),
      level: view.getUint8(0xc6),
      generation: this.limits.generation,
    };
    this.chunkTree = {
      id: CHUNK_TREE_OBJECTID,
      logical: u64(0x58),
      level: view.getUint8(0xc7),
      generation: u64(0xa4),
    };
    const end = 0x32b + view.getUint32(0xa0, true);
    for (let at = 0x32b; at < end; at += 17 + 48 + 32 * view.getUint16(at + 17 + 44, true)) {
      this.#map(u64(at + 9), new DataView(view.buffer, at + 17));
    }
  }

  static async open(path: string, cacheBytes = 64 << 20): Promise<ImageSource> {
    const source = new ImageSource(openSync(path, "r"), cacheBytes);
    for await (const { leaf, first, last } of (await NodeTree.open(source, source.chunkTree)).leaves()) {
      for (let slot = first; slot < last; slot++) {
        if (slotType(leaf, slot) === CHUNK_ITEM) source.#map(Number(slotKey(leaf, slot).offset), itemData(leaf, slot));
      }
    }
    return source;
  }

  cached(logical: number, expect: NodeExpectation): NodeBlock | undefined {
    return this.#cache.get(logical, expect.generation);
  }

  async readNode(logical: number, expect: NodeExpectation): Promise<NodeBlock> {
    const node = this.readUnchecked(logical);
    checkNode(node, logical, expect, this.limits);
    this.#cache.put(node);
    return node;
  }

  readUnchecked(logical: number): NodeBlock {
    const chunk = this.#mappings.find(({ start, length }) => logical >= start && logical < start + length);
    if (chunk === undefined) throw new Error(`no chunk at ${logical}`);
    const physical = chunk.physical + logical - chunk.start;
    const bytes = new Uint8Array(this.limits.nodeSize);
    readSync(this.#file, bytes, 0, bytes.byteLength, physical);
    return new NodeBlock(bytes, { logical, physical });
  }

  close(): void {
    closeSync(this.#file);
  }

  #map(start: number, chunk: DataView): void {
    const length = Number(chunk.getBigUint64(0, true));
    this.#mappings.push({ start, length, physical: Number(chunk.getBigUint64(56, true)) });
  }
}
