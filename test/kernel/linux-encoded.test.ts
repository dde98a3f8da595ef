import { closeSync, constants, openSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BtrfsError, EncodedIoError } from "../../src/errors.ts";
import * as linux from "../../src/linux/index.ts";
import { ENCODED_READ, ENCODED_WRITE } from "../../src/linux/requests.ts";
import { EncodedIoArgs, Iovec } from "../../src/linux/structs.ts";
import { encodedIo, noise, Z } from "../contract/encoded-data.ts";
import { describeEncodedReads, describeEncodedWrites, type ReadSubject } from "../contract/encoded-io.ts";
import type { ReadVector } from "../contract/encoded-read-vectors.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { describeKernel, whyNoKernel } from "./support/host.ts";
import { damageImage, LiveWrites, makeLiveFile } from "./support/live-encoded.ts";

const native = whyNoKernel() === undefined ? linux.loadNative() : undefined!;

class LiveReads implements ReadSubject {
  readonly #scratch: TestFilesystem;

  private constructor(scratch: TestFilesystem) {
    this.#scratch = scratch;
  }

  static async make(...mkfs: string[]): Promise<LiveReads> {
    return new LiveReads(await TestFilesystem.make({ mkfs, sizeMiB: 512 }));
  }

  async prepare(vectors: readonly ReadVector[]): Promise<void> {
    const path = (file: string) => this.#scratch.path(file);
    for (const { file, steps } of vectors) makeLiveFile(native, path(file), steps, path);
    await this.#scratch.unmount();
    for (const { damage } of vectors) {
      if (damage !== undefined) damageImage(this.#scratch.images[0]!, damage.bytes, damage.at);
    }
    await this.#scratch.mount();
  }

  async open(file: string, cold: boolean): Promise<linux.LiveFile & { close(): void }> {
    if (cold) await this.#scratch.renew();
    const fd = openSync(this.#scratch.path(file), "r");
    return Object.assign(new linux.LiveFile(native, fd), { close: () => closeSync(fd) });
  }

  async close(): Promise<void> {
    await this.#scratch[Symbol.asyncDispose]();
  }
}

describeKernel("encoded I/O of the kernel", () => {
  const holeItems = (vector: ReadVector) => vector.holeItems === true;
  describeEncodedReads(
    "reads",
    () => LiveReads.make(),
    (vector) => !holeItems(vector),
  );
  describeEncodedReads("reads without no-holes", () => LiveReads.make("-O", "^no-holes"), holeItems);
  describeEncodedWrites("writes", () => LiveWrites.make(native));

  describe("what only a live file shows", () => {
    let scratch: TestFilesystem;
    beforeAll(async () => {
      scratch = await TestFilesystem.make({ sizeMiB: 512 });
    });
    afterAll(async () => {
      for (const fd of open) closeSync(fd);
      await scratch?.[Symbol.asyncDispose]();
    });
    const open: number[] = [];

    function opened(path: string, flags: number): number {
      const fd = openSync(path, flags);
      open.push(fd);
      return fd;
    }

    function fileOf(name: string, content: Uint8Array, flags: number = constants.O_RDWR): number {
      writeFileSync(scratch.path(name), content);
      return opened(scratch.path(name), flags);
    }

    const errnoOf = (action: () => unknown): string => {
      try {
        action();
      } catch (error) {
        return (error as EncodedIoError).errno;
      }
      return "none";
    };

    test("a hole answers longer in the mount that wrote it", () => {
      const fd = fileOf("warm", new Uint8Array(0));
      linux.ftruncate(native, fd, 1 << 20);
      linux.pwrite(native, fd, noise(4096, 40), 524288);
      linux.fsync(native, fd);
      const target = new Uint8Array(1 << 20);
      const lengths = [0n, 100n, 532480n].map((at) => linux.encodedRead(native, fd, at, target).byteLength);
      expect(lengths).toEqual([524288, 524188, 516096]);
    });

    // The bare ioctl writes out 128 KiB, and calls the whole megabyte a hole.
    test.each(["hole", "preallocated"])("data that is not written yet is no part of a %s", async (kind) => {
      const fd = fileOf(`unwritten ${kind}`, new Uint8Array(0));
      linux.ftruncate(native, fd, 1 << 20);
      if (kind === "preallocated") linux.fallocate(native, fd, 0, 0, 1 << 20);
      linux.fsync(native, fd);
      linux.pwrite(native, fd, noise(4096, 47), 524288);
      const file = new linux.LiveFile(native, fd);
      expect(await file.readEncoded(100n, new Uint8Array(1 << 20))).toMatchObject({
        byteLength: 524188,
        length: 524188n,
      });
      const target = new Uint8Array(4096);
      expect(await file.readEncoded(524288n, target)).toMatchObject({ byteLength: 4096 });
      expect(Buffer.compare(target, noise(4096, 47))).toBe(0);
    });

    test("dirty pages are written first, and an encoded write is seen at once", async () => {
      const fd = fileOf("dirty", noise(131072, 41));
      const target = new Uint8Array(131072);
      expect((await linux.encodedReadAsync(native, fd, 0n, target)).byteLength).toBe(131072);
      expect(Buffer.compare(target, noise(131072, 41))).toBe(0);
      await linux.encodedWriteAsync(native, fd, encodedIo({}), Z);
      expect(readFileSync(scratch.path("dirty")).subarray(0, 9).toString()).toBe("The quick");
      expect(await linux.encodedReadAsync(native, fd, 0n, target)).toMatchObject({ byteLength: 4096, compression: 2 });
    });

    test("an append goes to the end, whatever the offset", () => {
      const fd = fileOf("append", noise(4096, 42), constants.O_RDWR | constants.O_APPEND);
      expect(linux.encodedWrite(native, fd, encodedIo({ at: 0 }), Z)).toBe(77);
      expect(linux.statx(native, fd, undefined).size).toBe(135168n);
    });

    test("a write needs a writable descriptor, a read does not need a readable one", () => {
      const readOnly = fileOf("modes", noise(100, 43), constants.O_RDONLY);
      expect(errnoOf(() => linux.encodedWrite(native, readOnly, encodedIo({}), Z))).toBe("EBADF");
      const writeOnly = opened(scratch.path("modes"), constants.O_WRONLY);
      expect(linux.encodedRead(native, writeOnly, 0n, new Uint8Array(4096)).byteLength).toBe(100);
    });

    test("the bare ioctl refuses what the interface cannot even say", () => {
      const fd = fileOf("bare", noise(100, 44));
      const data = new Uint8Array(4096);
      const attempt = (
        number: number,
        change: (args: InstanceType<typeof EncodedIoArgs>, iovec: InstanceType<typeof Iovec>) => void,
      ) => {
        const memory = new Uint8Array(EncodedIoArgs.byteLength + Iovec.byteLength);
        const view = new DataView(memory.buffer);
        const [args, iovec] = [new EncodedIoArgs(view), new Iovec(view, EncodedIoArgs.byteLength)];
        Object.assign(iovec, { base: native.addressOf(data), len: 4096n });
        Object.assign(args, {
          iov: native.addressOf(memory) + 128n,
          iovcnt: 1n,
          len: 4096n,
          unencodedLen: 131072n,
          compression: 2,
        });
        change(args, iovec);
        const result = native.call("ioctl", [fd, number, memory], data);
        return [result, args.len];
      };
      const EINVAL = -22;
      const EFAULT = -14;
      expect(attempt(ENCODED_READ.number, () => {})).toEqual([100, 100n]);
      expect(attempt(ENCODED_READ.number, (args) => (args.iovcnt = 0n))).toEqual([0, 4096n]); // untouched
      expect(attempt(ENCODED_READ.number, (args) => (args.offset = 100n))).toEqual([0, 0n]); // written
      expect(attempt(ENCODED_READ.number, (args) => (args.flags = 1n))[0]).toBe(EINVAL);
      expect(attempt(ENCODED_READ.number, (args) => (args.iovcnt = 1025n))[0]).toBe(EINVAL);
      expect(attempt(ENCODED_READ.number, (args) => (args.iov = 8n))[0]).toBe(EFAULT);
      expect(attempt(ENCODED_READ.number, (_args, iovec) => (iovec.base = 8n))[0]).toBe(EFAULT);
      expect(attempt(ENCODED_WRITE.number, (args) => (args.flags = 1n))[0]).toBe(EINVAL);
      expect(
        attempt(ENCODED_WRITE.number, (args) => (args.reserved = Uint8Array.from({ length: 64 }, () => 1)))[0],
      ).toBe(EINVAL);
      expect(attempt(ENCODED_WRITE.number, (_args, iovec) => (iovec.base = 8n))[0]).toBe(EFAULT);
    });

    test("the foreign bytes behind an inline extent never leave the reader", async () => {
      const fd = fileOf("tail", noise(96, 45));
      linux.fsync(native, fd);
      linux.fallocate(native, fd, 0, 0, 100000);
      const target = new Uint8Array(4096).fill(0xee);
      const file = new linux.LiveFile(native, fd);
      expect(await file.readEncoded(97n, target)).toMatchObject({ byteLength: 3999, length: 3999n, compression: 0 });
      expect(target.subarray(0, 3999).every((byte) => byte === 0)).toBe(true);
    });

    test("directories and other filesystems are refused by kind", () => {
      const directory = opened(scratch.directory, constants.O_RDONLY);
      expect(() => new linux.LiveFile(native, directory)).toThrow(BtrfsError);
      const foreign = opened("/proc/self/status", constants.O_RDONLY);
      expect(() => new linux.LiveFile(native, foreign)).toThrow("not on btrfs");
      expect(errnoOf(() => linux.encodedRead(native, foreign, 0n, new Uint8Array(1)))).toBe("ENOTTY");
    });

    test("a refusal says what a person can do, and where", () => {
      const fd = fileOf("told", noise(20000, 46));
      const error = (() => {
        try {
          return linux.encodedWrite(native, fd, encodedIo({ at: 512 }), Z);
        } catch (thrown) {
          return thrown as EncodedIoError;
        }
      })();
      expect(error).toBeInstanceOf(EncodedIoError);
      expect(error).toMatchObject({ errno: "EINVAL", where: { file: scratch.path("told"), fileOffset: 512n } });
    });

    test("many reads at once each get their own extent", async () => {
      const fd = fileOf("many", new Uint8Array(0));
      const count = 200;
      for (let at = 0; at < count; at++) {
        linux.encodedWrite(
          native,
          fd,
          encodedIo({ at: at * 131072, length: 4096 * (1 + (at % 32)), unencodedLength: 131072 }),
          Z,
        );
      }
      linux.fsync(native, fd);
      const answers = await Promise.all(
        Array.from({ length: count }, (_, at) =>
          linux.encodedReadAsync(native, fd, BigInt(at * 131072), new Uint8Array(131072)),
        ),
      );
      expect(answers.map(({ length }) => Number(length))).toEqual(
        Array.from({ length: count }, (_, at) => 4096 * (1 + (at % 32))),
      );
    });
  });
});
