import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { FakeNative } from "../../test/support/fake-native.ts";
import { viewOf } from "../bytes/bytes.ts";
import { BtrfsError, EncodedIoError, type KernelError, UnsupportedError } from "../errors.ts";
import { encodedRead, encodedWrite, LiveFile } from "./encoded.ts";
import { extentUsers } from "./lookup.ts";
import { loadNative } from "./native.ts";
import {
  ENCODED_READ,
  ENCODED_WRITE,
  FIEMAP,
  LOGICAL_INO_V2,
  SEND,
  SUBVOL_CREATE_V2,
  TREE_SEARCH_V2,
} from "./requests.ts";
import { searchTree } from "./search.ts";
import { sendTo } from "./send.ts";
import {
  DataContainer,
  EncodedIoArgs,
  Iovec,
  LogicalInoArgs,
  SearchArgsV2,
  SearchHeader,
  SendArgs,
  VolArgsV2,
} from "./structs.ts";
import { createSnapshot, createSubvolume } from "./subvolume.ts";

type Ioctl = (request: number, args: Uint8Array, fake: FakeNative) => number;

/** A kernel that knows one ioctl, on a regular file of btrfs. */
function kernel(ioctl: Ioctl, size = 1n << 40n): FakeNative {
  return new FakeNative({
    ioctl: ([, request, args], fake) => ioctl(request as number, args as Uint8Array, fake),
    fsync: 0,
    statx: ([, , , , buffer]) => {
      const view = viewOf(buffer as Uint8Array);
      view.setUint16(28, 0o100644, true);
      view.setBigUint64(40, size, true);
      return 0;
    },
    fstatfs: ([, buffer]) => {
      viewOf(buffer as Uint8Array).setBigUint64(0, 0x9123683en, true);
      viewOf(buffer as Uint8Array).setBigUint64(8, 4096n, true);
      return 0;
    },
  });
}

function errorOf(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

/** The struct and the memory that its one iovec points to. */
function decoded(args: Uint8Array, fake: FakeNative) {
  const io = new EncodedIoArgs(viewOf(args));
  const iovec = new Iovec(viewOf(args), EncodedIoArgs.byteLength);
  expect(fake.memoryAt(io.iov - 128n)).toBe(args); // the iovec lies in the same memory, behind the struct
  return { io, data: fake.memoryAt(iovec.base), capacity: iovec.len };
}

test("an encoded read gives the kernel the caller's own memory, and tells what it filled in", () => {
  const target = new Uint8Array(131072);
  const native = kernel((request, args, fake) => {
    expect(request).toBe(ENCODED_READ.number);
    const { io, data, capacity } = decoded(args, fake);
    expect([data === target, capacity, io.iovcnt, io.offset, io.flags]).toEqual([true, 131072n, 1n, 8192n, 0n]);
    Object.assign(io, { len: 100n, unencodedLen: 131072n, unencodedOffset: 8192n, compression: 2 });
    return 4096;
  });
  expect(encodedRead(native, 3, 8192n, target)).toEqual({
    byteLength: 4096,
    offset: 8192n,
    length: 100n,
    unencodedLength: 131072n,
    unencodedOffset: 8192n,
    compression: 2,
    encryption: 0,
  });
});

const IO = { offset: 0n, length: 5n, unencodedLength: 6n, unencodedOffset: 1n, compression: 2, encryption: 0 };

test("an encoded write says all that the caller says", () => {
  const bytes = Uint8Array.of(1, 2, 3);
  const native = kernel((request, args, fake) => {
    expect(request).toBe(ENCODED_WRITE.number);
    const { io, data } = decoded(args, fake);
    expect(data).toBe(bytes);
    expect([io.offset, io.len, io.unencodedLen, io.unencodedOffset, io.compression]).toEqual([-4096n, 5n, 6n, 1n, 2]);
    return 3;
  });
  expect(encodedWrite(native, 3, { ...IO, offset: -4096n }, bytes)).toBe(3);
});

test.each([
  ["offset", 1n << 63n],
  ["length", 1n << 64n],
  ["unencodedLength", -1n],
  ["unencodedOffset", 1n << 64n],
])("a %s that does not fit is refused and not wrapped around", (field, value) => {
  const native = kernel(() => 0);
  const error = errorOf(() => encodedWrite(native, 3, { ...IO, [field]: value }, Uint8Array.of(1)));
  expect(error).toBeInstanceOf(EncodedIoError);
  expect((error as EncodedIoError).errno).toBe("EINVAL");
  expect(native.calls).toEqual([]);
});

test.each([
  [-1, "EPERM", "this needs root"],
  [-25, "ENOTTY", "this needs btrfs, and Linux 5.18 or later"],
  [-105, "ENOBUFS", "131072 bytes always suffice"],
  [-5, "EIO", "btrfs scrub"],
])("errno %i of an encoded read says what can be done", (result, errno, advice) => {
  const error = errorOf(() =>
    encodedRead(
      kernel(() => result),
      3,
      4096n,
      new Uint8Array(1),
    ),
  ) as EncodedIoError;
  expect(error).toMatchObject({ errno, where: { fileOffset: 4096n } });
  expect(error.message).toContain(advice);
});

test("a newer kernel's answer that means more than is known here is refused", () => {
  const native = kernel((_request, args) => {
    args[EncodedIoArgs.byteLength - 1] = 1;
    return 1;
  });
  expect(errorOf(() => encodedRead(native, 3, 0n, new Uint8Array(1)))).toMatchObject({ errno: "EOPNOTSUPP" });
});

test("inside the first sector a live file asks for its start first, and answers zeros behind inline data", async () => {
  const asked: bigint[] = [];
  const native = kernel((_request, args, fake) => {
    const { io } = decoded(args, fake);
    asked.push(io.offset);
    io.len = io.unencodedLen = 96n;
    return 96;
  }, 2000n);
  const target = new Uint8Array(4096).fill(7);
  expect(await new LiveFile(native, 3).readEncoded(100n, target)).toMatchObject({ byteLength: 1900, length: 1900n });
  expect([target[0], target[1899], target[1900]]).toEqual([0, 0, 7]);
  expect(asked).toEqual([0n]);
});

test("a hole longer than what the kernel flushed is asked for again after a flush", async () => {
  let answers = 0;
  const native = kernel((_request, args, fake) => {
    const { io } = decoded(args, fake);
    io.len = io.unencodedLen = answers++ === 0 ? 1048576n : 524288n;
    return Number(io.len);
  });
  const file = new LiveFile(native, 3);
  expect(await file.readEncoded(0n, new Uint8Array(1 << 20))).toMatchObject({ byteLength: 524288 });
  expect(native.calls.map(({ name }) => name).filter((name) => name !== "statx" && name !== "fstatfs")).toEqual([
    "ioctl",
    "fsync",
    "ioctl",
  ]);
});

test("a live file is a regular one", () => {
  const native = kernel(() => 0);
  native.answers.statx = ([, , , , buffer]) => {
    viewOf(buffer as Uint8Array).setUint16(28, 0o040755, true);
    return 0;
  };
  expect(errorOf(() => new LiveFile(native, 3))).toMatchObject({ code: "kind" });
});

test("subvolume names reach the kernel as bytes; longer ones than fit are refused", () => {
  const native = kernel((request, args) => {
    expect(request).toBe(SUBVOL_CREATE_V2.number);
    expect([...new VolArgsV2(viewOf(args)).name.subarray(0, 3)]).toEqual([0xff, 0x2e, 0]);
    return 0;
  });
  createSubvolume(native, 3, Uint8Array.of(0xff, 0x2e));
  const error = errorOf(() => createSubvolume(native, 3, new Uint8Array(4040).fill(97)));
  expect(error).toBeInstanceOf(BtrfsError);
  expect((error as BtrfsError).code).toBe("path");
  expect(native.calls).toHaveLength(1);
});

test("a snapshot names its source and whether it may be written", () => {
  const seen: unknown[] = [];
  const native = kernel((_request, args) => {
    const { fd, flags } = new VolArgsV2(viewOf(args));
    seen.push([fd, flags]);
    return 0;
  });
  createSnapshot(native, 9, 3, "a", { readOnly: true });
  createSnapshot(native, 9, 3, "a");
  expect(seen).toEqual([
    [9n, 2n],
    [9n, 0n],
  ]);
});

test("send passes the parent as a clone source too, and asks for a version only when told", async () => {
  const seen: unknown[] = [];
  const native = kernel((request, args, fake) => {
    expect(request).toBe(SEND.number);
    const { sendFd, parentRoot, flags, version, cloneSources, cloneSourcesCount } = new SendArgs(viewOf(args));
    const sources = cloneSourcesCount === 0n ? [] : [...new BigUint64Array(fake.memoryAt(cloneSources).buffer)];
    seen.push({ sendFd, parentRoot, flags, version, sources });
    return 0;
  });
  await sendTo(native, 3, 1);
  await sendTo(native, 3, 1, { parent: 300n, cloneSources: [257n], version: 2, compressed: true, omitEnd: true });
  expect(seen).toEqual([
    { sendFd: 1n, parentRoot: 0n, flags: 0n, version: 0, sources: [] },
    { sendFd: 1n, parentRoot: 300n, flags: 0x1cn, version: 2, sources: [257n, 300n] },
  ]);
});

test("a search goes on behind the last key, over every carry, and grows for a large item", () => {
  const MAX = (1n << 64n) - 1n;
  const keys = [
    [256n, 1, 0n],
    [256n, 1, MAX],
    [256n, 255, MAX],
    [MAX, 255, MAX],
  ] as const;
  const starts: unknown[] = [];
  const native = kernel((request, args) => {
    expect(request).toBe(TREE_SEARCH_V2.number);
    const key = new SearchArgsV2(viewOf(args));
    if (args.byteLength < SearchArgsV2.byteLength + 65560) {
      key.bufSize = 65560n;
      return -75;
    }
    starts.push([key.minObjectid, key.minType, key.minOffset]);
    const [objectid, type, offset] = keys[starts.length - 1]!;
    Object.assign(new SearchHeader(viewOf(args), SearchArgsV2.byteLength), { objectid, type, offset, len: 2 });
    key.nrItems = 1;
    return 0;
  });
  const found = [...searchTree(native, 3, { tree: 5n })].map(({ objectid, type, offset }) => [objectid, type, offset]);
  expect(found).toEqual(keys);
  expect(starts).toEqual([
    [0n, 0, 0n],
    [256n, 1, 1n],
    [256n, 2, 0n],
    [257n, 0, 0n],
  ]);
});

test("users that do not fit are asked for again with more room", () => {
  const sizes: bigint[] = [];
  const native = kernel((request, args, fake) => {
    expect(request).toBe(LOGICAL_INO_V2.number);
    const { inodes, size } = new LogicalInoArgs(viewOf(args));
    sizes.push(size);
    const container = viewOf(fake.memoryAt(inodes));
    Object.assign(new DataContainer(container), { elemCnt: 3, elemMissed: size < 1n << 20n ? 3 : 0 });
    [257n, 4096n, 5n].forEach((value, index) => {
      container.setBigUint64(16 + index * 8, value, true);
    });
    return 0;
  });
  expect(extentUsers(native, 3, 1n)).toEqual([{ inode: 257n, offset: 4096n, root: 5n }]);
  expect(sizes).toEqual([65536n, 1048576n]);
});

test("elsewhere than on Linux a call says so, and importing worked", () => {
  const real = Object.getOwnPropertyDescriptor(process, "platform")!;
  Object.defineProperty(process, "platform", { ...real, value: "darwin" });
  try {
    const error = errorOf(loadNative);
    expect(error).toBeInstanceOf(UnsupportedError);
    expect((error as UnsupportedError).message).toContain("this is darwin");
  } finally {
    Object.defineProperty(process, "platform", real);
  }
});

const built = resolve(import.meta.dirname, "../../dist");

test.skipIf(process.platform !== "linux" || !existsSync(join(built, "linux/index.js")))(
  "without the optional package importing works and a call says what is missing (skipped where nothing is built)",
  () => {
    const folder = mkdtempSync(join(tmpdir(), "btrkit-bare-"));
    try {
      // No node_modules anywhere above it.
      cpSync(built, join(folder, "dist"), { recursive: true });
      cpSync(join(built, "../package.json"), join(folder, "package.json"));
      const program = `import("${folder}/dist/linux/index.js").then((linux) => linux.loadNative()).catch((e) => console.log(e.code, e.message))`;
      const said = execFileSync(process.execPath, ["-e", program], { encoding: "utf8", cwd: folder });
      expect(said).toMatch(/^unsupported .*optional package koffi/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);

test("requests say since when there is one, and that root is needed, in the error", () => {
  const error = errorOf(() => [
    ...searchTree(
      kernel(() => -1),
      3,
      { tree: 5n },
    ),
  ]) as KernelError;
  expect(error).toMatchObject({ call: "BTRFS_IOC_TREE_SEARCH_V2", errno: "EPERM" });
  expect(error.message).toContain("this needs root (CAP_SYS_ADMIN)");
  expect(FIEMAP.since).toBeUndefined();
});
