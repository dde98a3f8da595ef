import { makeFilesystem } from "../../src/mkfs/mkfs.ts";
import { openFileDevice } from "../../src/node/file-device.ts";
import { describeEncodedWrites, type WriteSubject } from "../contract/encoded-io.ts";
import { ImageWrites } from "../support/image-writes.ts";
import { describeKernel } from "./support/host.ts";
import { WrittenImage } from "./support/written.ts";

describeKernel("encoded writes to an image", () => {
  // At the end `btrfs check` finds nothing, the kernel mounts what was written, and scrub agrees.
  describeEncodedWrites("by the vectors of the ioctl", async () => {
    const image = new WrittenImage(300);
    await image.open((store) => makeFilesystem(store));
    const store = await openFileDevice(image.path, { writable: true });
    const writes = await ImageWrites.open(store);
    const close = async (): Promise<void> => {
      await store.close?.();
      await image.check();
      await image.mounted(async () => {});
      await image[Symbol.asyncDispose]();
    };
    const subject: WriteSubject = {
      create: (file, steps) => writes.create(file, steps),
      inspect: (file) => writes.inspect(file),
      read: (file) => writes.read(file),
      close,
    };
    return subject;
  });
});
