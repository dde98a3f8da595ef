import { describe } from "vitest";
import { encodedReader } from "../../src/encoded/read.ts";
import type { EncodedReader } from "../../src/format/encoded-io.ts";
import { openFilesystem } from "../../src/fs/filesystem.ts";
import * as linux from "../../src/linux/index.ts";
import { openFileDevice } from "../../src/node/file-device.ts";
import { describeEncodedReads, type ReadSubject } from "../contract/encoded-io.ts";
import type { ReadVector } from "../contract/encoded-read-vectors.ts";
import { damageImage, makeLiveFile } from "./support/live-encoded.ts";
import { ScratchBtrfs, whyNoBtrfs } from "./support/scratch-btrfs.ts";

const reason = whyNoBtrfs();

/** The kernel makes the files; the image is read without it. */
class ImageReads implements ReadSubject {
  readonly #scratch: ScratchBtrfs;

  constructor(mkfs: readonly string[]) {
    this.#scratch = new ScratchBtrfs({ mkfs });
  }

  async prepare(vectors: readonly ReadVector[]): Promise<void> {
    const native = linux.loadNative();
    const path = (file: string) => this.#scratch.path(file);
    for (const { file, steps } of vectors) makeLiveFile(native, path(file), steps, path);
    this.#scratch.detach();
    for (const { damage } of vectors) {
      if (damage !== undefined) damageImage(this.#scratch.image, damage.bytes, damage.at);
    }
  }

  async open(file: string): Promise<EncodedReader & { close(): Promise<void> }> {
    const filesystem = await openFilesystem([await openFileDevice(this.#scratch.image)]);
    const reader = encodedReader((await filesystem.lookup(file)).openFile());
    return Object.assign(reader, { close: () => filesystem.close() });
  }

  close(): void {
    this.#scratch.close();
  }
}

describe.skipIf(reason !== undefined)(`encoded reads of an image${reason ? ` (skipped: ${reason})` : ""}`, () => {
  const holeItems = (vector: ReadVector) => vector.holeItems === true;
  describeEncodedReads(
    "by the vectors of the ioctl",
    async () => new ImageReads([]),
    (vector) => !holeItems(vector),
  );
  describeEncodedReads(
    "by the vectors of the ioctl, without no-holes",
    async () => new ImageReads(["-O", "^no-holes"]),
    holeItems,
  );
});
