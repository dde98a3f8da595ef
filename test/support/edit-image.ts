import { OverlayDevice } from "../../src/device/overlay.ts";
import type { Key } from "../../src/format/key.ts";
import { itemSize, itemStart } from "../../src/format/node.ts";
import { type Filesystem, type FilesystemOptions, openFilesystem } from "../../src/fs/filesystem.ts";
import { imageSource } from "../support.ts";
import { seal } from "./damage.ts";

/** An image of test/fixtures/images on one device, to be changed in memory. */
export class EditedImage {
  readonly store: OverlayDevice;

  constructor(name: string) {
    this.store = new OverlayDevice(imageSource(name));
  }

  /** As it is now. */
  open(options?: FilesystemOptions): Promise<Filesystem> {
    return openFilesystem([this.store], options);
  }

  /** Changes a tree block in all its copies, which get the checksum that they then need. */
  async editNode(logical: number, change: (node: Uint8Array) => void): Promise<void> {
    const { volume } = await this.open();
    const bytes = new Uint8Array(volume.nodeSize);
    const copies = volume.copiesOf(logical, volume.nodeSize);
    await volume.readCopy(copies[0]!, bytes);
    change(bytes);
    await seal(bytes, volume.checksum.type);
    for (const { physical } of copies) await this.store.write(physical, bytes);
  }

  /** Changes the data of one item, in all copies of its leaf, which get the checksum that they then need. */
  async editItem(subvolume: bigint, key: Key, change: (data: Uint8Array) => void): Promise<void> {
    const { volume } = await this.open();
    const span = await (await volume.openTree(subvolume)).find(key, "exact");
    if (span === undefined) throw new Error("there is no such item");
    const { leaf, first } = span;
    const start = itemStart(leaf, first);
    await this.editNode(leaf.logical, (bytes) => change(bytes.subarray(start, start + itemSize(leaf, first))));
  }

  /** Flips a bit of one stored byte in all its copies. */
  async damage(logical: number): Promise<void> {
    const { volume } = await this.open();
    for (const { physical } of volume.copiesOf(logical, 1)) {
      const byte = new Uint8Array(1);
      await this.store.read(physical, byte);
      await this.store.write(physical, Uint8Array.of(byte[0]! ^ 1));
    }
  }
}
