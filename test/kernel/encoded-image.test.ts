import { encodedReader } from "../../src/encoded/read.ts";
import type { EncodedReader } from "../../src/format/encoded-io.ts";
import { openFilesystem } from "../../src/fs/filesystem.ts";
import * as linux from "../../src/linux/index.ts";
import { openFileDevice } from "../../src/node/file-device.ts";
import { describeEncodedReads, type ReadSubject } from "../contract/encoded-io.ts";
import type { ReadVector } from "../contract/encoded-read-vectors.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { describeKernel } from "./support/host.ts";
import { damageImage, makeLiveFile } from "./support/live-encoded.ts";

/** The kernel makes the files; the image is read without it. */
class ImageReads implements ReadSubject {
  readonly #scratch: TestFilesystem;

  private constructor(scratch: TestFilesystem) {
    this.#scratch = scratch;
  }

  static async make(...mkfs: string[]): Promise<ImageReads> {
    return new ImageReads(await TestFilesystem.make({ mkfs, sizeMiB: 512 }));
  }

  async prepare(vectors: readonly ReadVector[]): Promise<void> {
    const native = linux.loadNative();
    const path = (file: string) => this.#scratch.path(file);
    for (const { file, steps } of vectors) makeLiveFile(native, path(file), steps, path);
    await this.#scratch.unmount();
    for (const { damage } of vectors) {
      if (damage !== undefined) damageImage(this.#scratch.images[0]!, damage.bytes, damage.at);
    }
  }

  async open(file: string): Promise<EncodedReader & { close(): Promise<void> }> {
    const filesystem = await openFilesystem([await openFileDevice(this.#scratch.images[0]!)]);
    const reader = encodedReader((await filesystem.lookup(file)).openFile());
    return Object.assign(reader, { close: () => filesystem.close() });
  }

  async close(): Promise<void> {
    await this.#scratch[Symbol.asyncDispose]();
  }
}

describeKernel("encoded reads of an image", () => {
  const holeItems = (vector: ReadVector) => vector.holeItems === true;
  describeEncodedReads(
    "by the vectors of the ioctl",
    () => ImageReads.make(),
    (vector) => !holeItems(vector),
  );
  describeEncodedReads(
    "by the vectors of the ioctl, without no-holes",
    () => ImageReads.make("-O", "^no-holes"),
    holeItems,
  );
});
