import { toBytes } from "../../src/bytes/bytes.ts";
import type { ByteStore } from "../../src/device/source.ts";
import * as edit from "../../src/edit/index.ts";
import { writeEncoded } from "../../src/encoded/write.ts";
import type { EncodedWriter } from "../../src/format/encoded-io.ts";
import { INODE_NODATACOW, INODE_NODATASUM } from "../../src/format/inode.ts";
import { keysThrough } from "../../src/format/key.ts";
import { itemBytes, slotKey } from "../../src/format/node.ts";
import { FIRST_FREE_OBJECTID, FS_TREE_OBJECTID } from "../../src/format/objectid.ts";
import { openFilesystem } from "../../src/fs/filesystem.ts";
import type { Inode } from "../../src/fs/inode.ts";
import { openWritableVolume, type WritableVolume } from "../../src/transaction/writable.ts";
import { openVolume } from "../../src/volume/open.ts";
import type { WriteSubject } from "../contract/encoded-io.ts";
import type { FileStep } from "../contract/file-steps.ts";
import { type ReadItems, type StoredFile, storedFileOf, type TreeItem } from "../contract/stored-file.ts";

/** Files of an image that btrkit writes: each step a transaction of its own. */
export class ImageWrites implements WriteSubject {
  readonly #store: ByteStore;
  readonly #volume: WritableVolume;
  readonly #names = new Map<string, string>();

  private constructor(store: ByteStore, volume: WritableVolume) {
    this.#store = store;
    this.#volume = volume;
  }

  static async open(store: ByteStore): Promise<ImageWrites> {
    return new ImageWrites(store, await openWritableVolume([store]));
  }

  async create(file: string, steps: readonly FileStep[]): Promise<EncodedWriter & { close(): void }> {
    const name = `file ${this.#names.size}`;
    this.#names.set(file, name);
    const inode = await this.#change((at) => edit.createFile(at, FIRST_FREE_OBJECTID, toBytes(name)));
    for (const step of steps) await this.#change((at) => carryOut(at, inode, step));
    return {
      writeEncoded: (io, data) => this.#change((at) => writeEncoded(at, inode, io, data)),
      close: () => {},
    };
  }

  async inspect(file: string): Promise<StoredFile> {
    const volume = await openVolume([this.#store]);
    const read: ReadItems = async (tree, first, last) => {
      const items: TreeItem[] = [];
      for await (const span of (await volume.openTree(tree)).leaves(keysThrough(first, last))) {
        for (let slot = span.first; slot < span.last; slot++) {
          items.push({ ...slotKey(span.leaf, slot), data: itemBytes(span.leaf, slot).slice() });
        }
      }
      return items;
    };
    return storedFileOf(read, FS_TREE_OBJECTID, (await this.#look(file)).number);
  }

  async read(file: string): Promise<Uint8Array> {
    const inode = await this.#look(file);
    const content = new Uint8Array(Number(inode.stat.size));
    await inode.openFile().read(0n, content);
    return content;
  }

  async close(): Promise<void> {}

  async #look(file: string): Promise<Inode> {
    return (await openFilesystem([this.#store])).lookup(this.#names.get(file)!);
  }

  #change<T>(change: (at: edit.Place) => Promise<T>): Promise<T> {
    return this.#volume.transaction((tx) => change({ tx, tree: FS_TREE_OBJECTID, now: 1_700_000_000_000_000_000n }));
  }
}

async function carryOut(at: edit.Place, inode: bigint, step: FileStep): Promise<void> {
  switch (step.do) {
    case "write":
      return edit.writeFile(at, inode, BigInt(step.at), step.data);
    case "truncate":
      return edit.truncateFile(at, inode, BigInt(step.size));
    case "fallocate":
      return edit.preallocate(at, inode, BigInt(step.at), BigInt(step.at + step.length), {
        keepSize: step.keepSize === true,
      });
    case "encoded":
      await writeEncoded(at, inode, step.io, step.data);
      return;
    case "nocow":
      return edit.setAttributes(at, inode, { flags: BigInt(INODE_NODATACOW | INODE_NODATASUM) });
    case "sync":
      return;
    default:
      throw new Error(`the write vectors have no step ${step.do}`);
  }
}
