import { chmodSync, closeSync, openSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { toBytes } from "../../src/bytes/bytes.ts";
import { MemoryDevice } from "../../src/device/memory.ts";
import { getName } from "../../src/edit/index.ts";
import { encodedWriter } from "../../src/encoded/write.ts";
import * as linux from "../../src/linux/index.ts";
import { makeFilesystem } from "../../src/mkfs/mkfs.ts";
import { openFileDevice } from "../../src/node/file-device.ts";
import { openWritableVolume } from "../../src/transaction/writable.ts";
import { Z } from "../contract/encoded-data.ts";
import { describeEncodedWrites, type WriteSubject } from "../contract/encoded-io.ts";
import { WRITE_VECTORS } from "../contract/encoded-write-vectors.ts";
import { ImageWrites } from "../support/image-writes.ts";
import { describeKernel } from "./support/host.ts";
import { LiveWrites } from "./support/live-encoded.ts";
import { run } from "./support/run.ts";
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

  test("leaves the items that the ioctl leaves: of the file, of its extents, of their checksums", async () => {
    const live = await LiveWrites.make(linux.loadNative());
    const store = new MemoryDevice(new Uint8Array(80 << 20));
    await makeFilesystem(store, { metadata: "single" });
    const image = await ImageWrites.open(store);
    try {
      for (const { title, before = [], io, data } of WRITE_VECTORS) {
        const [ofIoctl, ours] = await Promise.all(
          [live, image].map(async (subject) => {
            const writer = await subject.create(title, before);
            await writer.writeEncoded(io, data);
            await writer.close();
            return subject.inspect(title);
          }),
        );
        expect({ title, ...ours }).toEqual({ title, ...ofIoctl });
      }
    } finally {
      await live.close();
    }
  });

  test("a file loses its capability and keeps setuid, in an image as under the kernel", async () => {
    await using image = new WrittenImage(200);
    await image.make([]);
    const io = {
      offset: 0n,
      length: 131072n,
      unencodedLength: 131072n,
      unencodedOffset: 0n,
      compression: 2,
      encryption: 0,
    };
    const modeAndAttributes = async (path: string): Promise<string> =>
      `${(statSync(path).mode & 0o7777).toString(8)} ${(await run("getfattr", ["-m", "-", "--absolute-names", path])).stdout}`;
    await image.mounted(async (directory) => {
      for (const name of ["live", "image"]) {
        const path = join(directory, name);
        writeFileSync(path, "old content");
        chmodSync(path, 0o6755);
        await run("setcap", ["cap_net_raw+ep", path]);
        await run("setfattr", ["-n", "user.kept", "-v", "1", path]);
        expect(await modeAndAttributes(path)).toMatch(/^6755 .*security.capability/s);
      }
      const fd = openSync(join(directory, "live"), "r+");
      linux.encodedWrite(linux.loadNative(), fd, io, Z);
      closeSync(fd);
    });
    await image.open(async (store) => {
      const volume = await openWritableVolume([store]);
      await volume.transaction(async (tx) => {
        const at = { tx, tree: 5n, now: 1_700_000_000_000_000_000n };
        const { location } = await getName(at, 256n, toBytes("image"));
        await encodedWriter(at, location.objectid).writeEncoded(io, Z);
      });
    });
    await image.check();
    await image.mounted(async (directory) => {
      const written = await modeAndAttributes(join(directory, "image"));
      expect(written.replaceAll("/image", "/live")).toBe(await modeAndAttributes(join(directory, "live")));
      expect(written).toContain("user.kept");
      expect(written).not.toContain("security.capability");
    });
  });
});
