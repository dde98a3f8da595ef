import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { KernelError } from "../../src/errors.ts";
import * as linux from "../../src/linux/index.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { describeKernel, whyNoKernel } from "./support/host.ts";
import { outputOf } from "./support/run.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

// Every ioctl really made on a btrfs of its own, its answer compared with what btrfs-progs or the file says.
describeKernel("ioctls on a real btrfs", () => {
  const native = whyNoKernel() === undefined ? linux.loadNative() : undefined!;
  const open: number[] = [];
  let scratch: TestFilesystem;
  let top: number;

  beforeAll(async () => {
    scratch = await TestFilesystem.make({ mount: "compress-force=zstd", sizeMiB: 512 });
    top = opened(".", constants.O_RDONLY | constants.O_DIRECTORY);
  });
  afterAll(async () => {
    for (const fd of open) closeSync(fd);
    await scratch?.[Symbol.asyncDispose]();
  });

  function opened(name: string, flags: number = constants.O_RDONLY): number {
    const fd = openSync(scratch.path(name), flags, 0o600);
    open.push(fd);
    return fd;
  }

  function done(fd: number): void {
    open.splice(open.indexOf(fd), 1);
    closeSync(fd);
  }

  function show(name: string): Map<string, string> {
    const lines = outputOf("btrfs", "subvolume", "show", scratch.path(name)).split("\n");
    return new Map(lines.map((line) => [line.split(":")[0]!.trim(), line.slice(line.indexOf(":") + 1).trim()]));
  }

  function errorOf(action: () => unknown): KernelError {
    try {
      action();
    } catch (error) {
      return error as KernelError;
    }
    throw new Error("nothing was refused");
  }

  test("subvolumes are made, shown, marked and deleted as btrfs-progs see them", () => {
    linux.createSubvolume(native, top, "sub");
    const sub = opened("sub");
    const info = linux.getSubvolumeInfo(native, sub);
    expect(info).toMatchObject({ parentId: 5n, directory: 256n, readOnly: false, stransid: 0n });
    expect(text(info.name)).toBe("sub");
    expect(show("sub").get("Subvolume ID")).toBe(String(info.id));
    expect(show("sub").get("UUID")?.replaceAll("-", "")).toBe(Buffer.from(info.uuid).toString("hex"));
    expect(linux.getSubvolumeId(native, sub)).toBe(info.id);
    expect(linux.getSubvolumeId(native, top)).toBe(5n);
    expect(Math.abs(Number(info.otime.sec) - Date.now() / 1000)).toBeLessThan(60);

    const uuid = Uint8Array.from({ length: 16 }, (_, index) => index + 1);
    const received = { uuid, stransid: 77n, stime: { sec: 12n, nsec: 34 } };
    const rtransid = linux.setReceivedSubvolume(native, sub, received);
    const after = linux.getSubvolumeInfo(native, sub);
    expect(after).toMatchObject({ receivedUuid: uuid, stransid: 77n, rtransid, stime: { sec: 12n, nsec: 34 } });
    expect(rtransid).toBeGreaterThan(0n);
    expect(after.generation).toBeGreaterThan(0n);

    linux.setReadOnly(native, sub, true);
    expect(linux.getSubvolumeFlags(native, sub)).toBe(linux.SUBVOL_RDONLY);
    expect(show("sub").get("Flags")).toBe("readonly");
    expect(errorOf(() => linux.setReceivedSubvolume(native, sub, received))).toMatchObject({
      call: "BTRFS_IOC_SET_RECEIVED_SUBVOL",
      errno: "EROFS",
      where: { file: scratch.path("sub") },
    });
    linux.setReadOnly(native, sub, false);
    done(sub);
    linux.deleteSubvolume(native, top, "sub");
    expect(existsSync(scratch.path("sub"))).toBe(false);
  });

  test("snapshots hold what their source held, and can be read-only from the start", () => {
    linux.createSubvolume(native, top, "origin");
    writeFileSync(scratch.path("origin/file"), "content");
    const origin = opened("origin");
    linux.createSnapshot(native, origin, top, "frozen", { readOnly: true });
    linux.createSnapshot(native, origin, top, Uint8Array.of(0xff, 0x31));
    const frozen = opened("frozen");
    expect(readFileSync(scratch.path("frozen/file"), "latin1")).toBe("content");
    const info = linux.getSubvolumeInfo(native, frozen);
    expect(info).toMatchObject({ readOnly: true, parentUuid: linux.getSubvolumeInfo(native, origin).uuid });
    expect(linux.findXattr(native, frozen, undefined, "user.none")).toBeUndefined();
    linux.deleteSubvolumeById(native, top, info.id);
    expect(existsSync(scratch.path("frozen"))).toBe(false);
    linux.deleteSubvolume(native, top, Uint8Array.of(0xff, 0x31));
    expect(errorOf(() => linux.createSubvolume(native, top, "origin")).errno).toBe("EEXIST");
    expect(errorOf(() => linux.deleteSubvolume(native, top, "none")).errno).toBe("ENOENT");
    expect(errorOf(() => linux.createSubvolume(native, top, "a/b")).errno).toBe("EINVAL");
  });

  test("child subvolumes are listed, also more than one table holds", () => {
    linux.createSubvolume(native, top, "many");
    const many = opened("many");
    mkdirSync(scratch.path("many/dir"));
    const directory = BigInt(linux.statx(native, many, "dir").ino);
    for (let index = 0; index < 300; index++) linux.createSubvolume(native, many, `s${index}`);
    const dir = opened("many/dir");
    linux.createSubvolume(native, dir, "deep");
    const children = linux.listChildSubvolumes(native, many);
    expect(children).toHaveLength(301);
    expect(new Set(children.map(({ id }) => id)).size).toBe(301);
    expect(children.at(-1)).toEqual({ id: children.at(-1)!.id, directory });
    expect(children[0]!.directory).toBe(256n);
    const limited = linux.listChildSubvolumes(native, opened("many/s0"));
    expect(limited).toEqual([]);
  });

  test("the default subvolume is what a mount shows", () => {
    const list = () => outputOf("btrfs", "subvolume", "get-default", scratch.directory);
    linux.createSubvolume(native, top, "chosen");
    const { id } = linux.getSubvolumeInfo(native, opened("chosen"));
    linux.setDefaultSubvolume(native, top, id);
    expect(list()).toContain(`ID ${id}`);
    linux.setDefaultSubvolume(native, top, 5n);
    expect(list()).toContain("ID 5");
    expect(errorOf(() => linux.setDefaultSubvolume(native, top, 1n << 60n)).errno).toBe("ENOENT");
  });

  test("the filesystem, its devices and its space are what btrfs-progs say", () => {
    const info = linux.getFilesystemInfo(native, top);
    const shown = outputOf("btrfs", "filesystem", "show", "--raw", scratch.directory);
    expect(shown.replaceAll("-", "")).toContain(Buffer.from(info.fsid).toString("hex"));
    expect(info).toMatchObject({
      deviceCount: 1n,
      maxDeviceId: 1n,
      nodeSize: 16384,
      sectorSize: 4096,
      checksumSize: 4,
    });
    expect(info.metadataUuid).toEqual(info.fsid);
    expect(info.generation).toBeGreaterThan(5n);
    expect(linux.fstatfs(native, top)).toMatchObject({ type: linux.BTRFS_SUPER_MAGIC, bsize: 4096n });
    const device = linux.getDeviceInfo(native, top, 1n);
    expect(device).toMatchObject({ id: 1n, totalBytes: 512n << 20n });
    expect(shown).toContain(`size ${device.totalBytes} used ${device.bytesUsed} path ${text(device.path)}`);
    expect(errorOf(() => linux.getDeviceInfo(native, top, 9n)).errno).toBe("ENODEV");
    const spaces = linux.getSpaceInfo(native, top);
    const df = outputOf("btrfs", "filesystem", "df", "--raw", scratch.directory);
    expect(spaces).toHaveLength(df.trim().split("\n").length);
    for (const { totalBytes } of spaces) expect(df).toContain(`total=${totalBytes}`);
    const NO_HOLES = 1n << 9n;
    expect(linux.getFeatures(native, top).incompat & NO_HOLES).toBe(NO_HOLES);
  });

  test("syncs make a generation durable", async () => {
    const before = linux.getFilesystemInfo(native, top).generation;
    writeFileSync(scratch.path("dirty"), "x");
    const generation = linux.startSync(native, top);
    await linux.waitSync(native, top, generation);
    expect(generation).toBeGreaterThanOrEqual(before);
    writeFileSync(scratch.path("dirty"), "y");
    await linux.syncFilesystem(native, top);
    await linux.waitSync(native, top, 0n);
    expect(linux.getFilesystemInfo(native, top).generation).toBeGreaterThan(generation);
  });

  test("inodes are found by number and extents by address", async () => {
    mkdirSync(scratch.path("where/deep"), { recursive: true });
    writeFileSync(scratch.path("where/deep/file"), new Uint8Array(200_000).fill(65));
    outputOf("ln", scratch.path("where/deep/file"), scratch.path("where/other"));
    outputOf("cp", "--reflink=always", scratch.path("where/other"), scratch.path("where/clone"));
    await linux.syncFilesystem(native, top);
    const { ino } = linux.statx(native, top, "where/deep/file");
    expect(text(linux.lookupInode(native, top, 0n, linux.statx(native, top, "where/deep").ino))).toBe("where/deep");
    expect(text(linux.lookupInode(native, top, 5n, 256n))).toBe("");
    expect(errorOf(() => linux.lookupInode(native, top, 5n, 1n << 40n)).errno).toBe("ENOENT");
    const paths = linux.inodePaths(native, top, ino).map(text).sort();
    expect(paths).toEqual(["where/deep/file", "where/other"]);

    const extents = [...linux.mappedExtents(native, opened("where/other"))];
    expect(extents.map(({ logical, length }) => [logical, length])).toEqual([
      [0n, 131072n],
      [131072n, 69632n],
    ]);
    expect(extents.every(({ flags }) => (flags & linux.FIEMAP_EXTENT_ENCODED) !== 0)).toBe(true);
    const users = linux.extentUsers(native, top, extents[0]!.physical);
    const clone = linux.statx(native, top, "where/clone").ino;
    const expected = [ino, clone].map((inode) => ({ inode, offset: 0n, root: 5n }));
    expect(users.sort((a, b) => Number(a.inode - b.inode))).toEqual(expected);
    expect(linux.extentUsers(native, top, extents[0]!.physical, true)).toHaveLength(2);
    expect(errorOf(() => linux.extentUsers(native, top, 1n << 50n)).errno).toBe("ENOENT");
  });

  test("an extent with more users than the first table holds tells them all", async () => {
    writeFileSync(scratch.path("shared"), new Uint8Array(131072).fill(2));
    await linux.syncFilesystem(native, top);
    const from = opened("shared");
    const to = opened("sharing", constants.O_RDWR | constants.O_CREAT);
    const count = 3000;
    for (let at = 0; at < count; at++) {
      linux.cloneRange(native, { fd: from, offset: 0n }, { fd: to, offset: BigInt(at) * 131072n }, 131072n);
    }
    await linux.syncFilesystem(native, top);
    const [extent] = linux.mappedExtents(native, from);
    const users = linux.extentUsers(native, top, extent!.physical);
    expect(users).toHaveLength(count + 1);
    expect(new Set(users.map(({ inode, offset }) => `${inode} ${offset}`)).size).toBe(count + 1);
  });

  test("many paths of one inode are told, or refused where the kernel tells no more", () => {
    mkdirSync(scratch.path("links"));
    const links = opened("links");
    done(opened("links/l0", constants.O_WRONLY | constants.O_CREAT));
    for (let index = 1; index < 100; index++) linux.linkat(native, links, "l0", links, `l${index}`);
    const { ino } = linux.statx(native, links, "l0");
    expect(linux.inodePaths(native, top, ino)).toHaveLength(100);
    for (let index = 100; index < 700; index++) linux.linkat(native, links, "l0", links, `long-name-${index}`);
    expect(errorOf(() => linux.inodePaths(native, top, ino))).toMatchObject({ code: "limit" });
  });

  test("a tree's items come in key order, each once, whatever the batch holds", async () => {
    linux.createSubvolume(native, top, "tree");
    const tree = opened("tree");
    for (let index = 0; index < 500; index++) {
      linux.mknodat(native, tree, `file-${index}`, constants.S_IFREG | 0o600);
    }
    linux.setXattr(native, tree, "file-7", "user.large", new Uint8Array(8000).fill(3));
    await linux.syncFilesystem(native, top);
    const { id } = linux.getSubvolumeInfo(native, tree);
    const items = [...linux.searchTree(native, top, { tree: id })].map(({ objectid, type, offset, data }) => ({
      key: `(${objectid} ${type} ${offset})`,
      size: data.byteLength,
    }));
    const dump = outputOf("btrfs", "inspect-internal", "dump-tree", "-t", String(id), "--noscan", scratch.images[0]!);
    const dumped = [...dump.matchAll(/^\titem \d+ key \((\d+) (\w+) (\d+)\) itemoff \d+ itemsize (\d+)/gm)];
    const TYPES: Record<string, number> = {
      INODE_ITEM: 1,
      INODE_REF: 12,
      XATTR_ITEM: 24,
      DIR_ITEM: 84,
      DIR_INDEX: 96,
    };
    const expected = dumped.map(([, objectid, type, offset, size]) => ({
      key: `(${objectid} ${TYPES[type!]} ${offset})`,
      size: Number(size),
    }));
    expect(items.length).toBeGreaterThan(2000);
    expect(items).toEqual(expected);

    for (const bufferBytes of [64, 300, 4096]) {
      let count = 0;
      for (const batch of linux.searchBatches(native, tree, { tree: 0n }, bufferBytes)) count += batch.count;
      expect([bufferBytes, count]).toEqual([bufferBytes, items.length]);
    }
    const only = linux.searchTree(native, tree, {
      tree: 0n,
      min: { objectid: 257n, type: 1, offset: 0n },
      max: { objectid: 257n, type: 1, offset: (1n << 64n) - 1n },
    });
    expect([...only].map(({ type, data }) => [type, data.byteLength])).toEqual([[1, 160]]);
    const future = linux.searchTree(native, tree, { tree: 0n, minGeneration: 1n << 40n });
    expect([...future]).toEqual([]);
    expect(errorOf(() => [...linux.searchTree(native, top, { tree: 1n << 50n })]).errno).toBe("ENOENT");
  });

  test("ranges are cloned, the end of a file by length 0", () => {
    writeFileSync(scratch.path("from"), new Uint8Array(10_000).fill(1));
    writeFileSync(scratch.path("to"), new Uint8Array(20_000).fill(2));
    const [from, to] = [opened("from"), opened("to", constants.O_RDWR)];
    linux.cloneRange(native, { fd: from, offset: 4096n }, { fd: to, offset: 8192n }, 4096n);
    expect([8191, 8192, 12287, 12288].map((at) => readFileSync(scratch.path("to"))[at])).toEqual([2, 1, 1, 2]);
    linux.cloneRange(native, { fd: from, offset: 8192n }, { fd: to, offset: 20480n }, 0n);
    expect(readFileSync(scratch.path("to"))).toHaveLength(20480 + 10_000 - 8192);
    const refused = errorOf(() => linux.cloneRange(native, { fd: from, offset: 1n }, { fd: to, offset: 0n }, 4096n));
    expect(refused).toMatchObject({ call: "FICLONERANGE", errno: "EINVAL" });
    expect(refused.message).toContain("multiples of the sector size");
  });

  test("inode flags are those of lsattr", () => {
    writeFileSync(scratch.path("flags"), "");
    const fd = opened("flags");
    linux.setFileFlags(native, fd, linux.FS_NOCOW_FL | linux.FS_NODUMP_FL);
    expect(outputOf("lsattr", scratch.path("flags")).split(" ")[0]?.replaceAll("-", "")).toBe("dC");
    expect(linux.getFileFlags(native, fd)).toBe(linux.FS_NOCOW_FL | linux.FS_NODUMP_FL);
    linux.setFileFlags(native, fd, linux.FS_IMMUTABLE_FL);
    expect(errorOf(() => linux.fchmodat(native, fd, undefined, 0o777)).errno).toBe("EPERM");
    linux.setFileFlags(native, fd, 0);
  });

  test("verity seals a file where the kernel has it, and says so where not", async () => {
    writeFileSync(scratch.path("sealed"), "sealed content");
    const fd = opened("sealed");
    const enabled = linux.enableVerity(native, fd, {
      hashAlgorithm: 1,
      blockSize: 4096,
      salt: Uint8Array.of(1, 2, 3),
    });
    const outcome = await enabled.then(
      () => "enabled",
      (error: KernelError) => error.errno,
    );
    expect(["enabled", "EOPNOTSUPP", "ENOTTY"]).toContain(outcome);
    if (outcome === "enabled") {
      expect(linux.measureVerity(native, fd)).toMatchObject({ hashAlgorithm: 1, digest: { byteLength: 32 } });
    } else {
      const refused = errorOf(() => linux.measureVerity(native, fd));
      expect(["ENODATA", "EOPNOTSUPP", "ENOTTY"]).toContain(refused.errno);
    }
  });

  test("a walk meets every name once, also those made after the directory was opened, and again on the next walk", () => {
    linux.createSubvolume(native, top, "walked");
    const walked = opened("walked");
    mkdirSync(scratch.path("walked/b/c"), { recursive: true });
    linux.symlinkat(native, "b", walked, "a");
    linux.mknodat(native, walked, Uint8Array.of(0xff), constants.S_IFREG | 0o600);
    for (let index = 0; index < 1000; index++) {
      linux.mknodat(
        native,
        walked,
        `b/c/a long enough name to need more than one call ${index}`,
        constants.S_IFIFO | 0o600,
      );
    }
    linux.setXattr(native, walked, "b/c", "user.deep", Uint8Array.of(1));
    for (const round of [1, 2]) {
      const found = [...linux.walk(native, walked)].map(({ path }) => Buffer.from(path).toString("latin1"));
      expect([round, found.length]).toEqual([round, 1004]);
      expect(found.slice(0, 4)).toEqual(["a", "b", "b/c", "b/c/a long enough name to need more than one call 0"]);
      expect(found.at(-1)).toBe("\u00ff");
    }
    for (const { path, directory, name, stat } of linux.walk(native, walked)) {
      if (text(path) !== "b/c") continue;
      expect(linux.listXattrs(native, directory, name).map(text)).toEqual(["user.deep"]);
      expect(stat.mode & constants.S_IFMT).toBe(constants.S_IFDIR);
    }
    const before = readdirSync("/proc/self/fd").length;
    for (const { path } of linux.walk(native, walked)) if (text(path) === "b/c") break;
    expect(readdirSync("/proc/self/fd")).toHaveLength(before);
  });

  test("another filesystem is named as the reason", () => {
    const fd = openSync("/proc", "r");
    try {
      const error = errorOf(() => linux.getSubvolumeInfo(native, fd));
      expect(error).toMatchObject({ call: "BTRFS_IOC_GET_SUBVOL_INFO", errno: "ENOTTY" });
      expect(error.message).toContain("this needs btrfs, and Linux 4.18 or later");
    } finally {
      closeSync(fd);
    }
  });

  describe("send", () => {
    let snapshot: number;
    let later: number;
    let id: bigint;

    beforeAll(() => {
      linux.createSubvolume(native, top, "sent");
      const content = Buffer.concat(
        Array.from({ length: 40_000 }, (_, index) => Buffer.from(`line ${index * 7919}\n`)),
      );
      for (let index = 0; index < 20; index++) writeFileSync(scratch.path(`sent/file${index}`), content);
      const sent = opened("sent");
      linux.createSnapshot(native, sent, top, "sent1", { readOnly: true });
      writeFileSync(scratch.path("sent/file3"), "changed");
      linux.createSnapshot(native, sent, top, "sent2", { readOnly: true });
      snapshot = opened("sent1");
      later = opened("sent2");
      id = linux.getSubvolumeInfo(native, snapshot).id;
    });

    async function collected(fd: number, options: Parameters<typeof linux.sendStream>[2]): Promise<Buffer> {
      const chunks: Uint8Array[] = [];
      for await (const chunk of linux.sendStream(native, fd, options)) chunks.push(chunk);
      return Buffer.concat(chunks);
    }

    function byProgs(...args: string[]): Buffer {
      outputOf("btrfs", "send", "-q", "-f", `${scratch.work}/stream`, ...args);
      return readFileSync(`${scratch.work}/stream`);
    }

    test.each([
      ["full, protocol 1", {}, ["--proto", "1"]],
      ["full, protocol 2", { version: 2 }, ["--proto", "2"]],
      ["full, compressed", { version: 2, compressed: true }, ["--proto", "2", "--compressed-data"]],
      ["full, without data", { noFileData: true }, ["--no-data"]],
    ] as const)("a stream equals that of btrfs send (%s)", async (_name, options, args) => {
      let progress = 0;
      const stream = await collected(snapshot, { ...options, onProgress: (bytes) => (progress = bytes) });
      expect(stream.equals(byProgs(...args, scratch.path("sent1")))).toBe(true);
      expect(progress).toBe(stream.byteLength);
    });

    test("an incremental stream equals that of btrfs send -p", async () => {
      const stream = await collected(later, { parent: id });
      expect(stream.equals(byProgs("-p", scratch.path("sent1"), scratch.path("sent2")))).toBe(true);
      expect(stream.byteLength).toBeLessThan(10_000);
    });

    test("header and end are left out when asked", async () => {
      const whole = await collected(later, { parent: id });
      const bare = await collected(later, { parent: id, omitHeader: true, omitEnd: true });
      expect(bare.equals(whole.subarray(17, -10))).toBe(true);
    });

    test("a stream into a file is the same, and its progress ends with its size", async () => {
      const path = `${scratch.work}/out`;
      const output = openSync(path, "w");
      const seen: number[] = [];
      await linux.sendTo(native, snapshot, output, { version: 2, onProgress: (bytes) => seen.push(bytes) });
      closeSync(output);
      const stream = readFileSync(path);
      expect(stream.equals(await collected(snapshot, { version: 2 }))).toBe(true);
      expect(seen.at(-1)).toBe(stream.byteLength);
    });

    test("leaving the loop ends the send, and another one works", async () => {
      for await (const chunk of linux.sendStream(native, snapshot)) {
        expect(chunk.byteLength).toBeGreaterThan(0);
        break;
      }
      expect((await collected(later, { parent: id })).byteLength).toBeGreaterThan(100);
    });

    test("an abort ends the send with its reason and leaves no descriptor behind", async () => {
      const before = readdirSync("/proc/self/fd").length;
      const controller = new AbortController();
      const reader = async () => {
        for await (const _chunk of linux.sendStream(native, snapshot, { signal: controller.signal }))
          controller.abort();
      };
      await expect(reader()).rejects.toMatchObject({ name: "AbortError" });
      await expect.poll(() => readdirSync("/proc/self/fd").length).toBe(before);
    });

    test("eight sends at once all come to their end", async () => {
      const streams = await Promise.all(Array.from({ length: 8 }, () => collected(snapshot, {})));
      expect(new Set(streams.map((stream) => stream.byteLength)).size).toBe(1);
    });

    test("refusals come with the kernel's errno", async () => {
      const outcome = (fd: number, options: Parameters<typeof linux.sendStream>[2]) =>
        collected(fd, options).then(
          () => "sent",
          (error: KernelError) => `${error.call} ${error.errno}`,
        );
      expect(await outcome(opened("sent"), {})).toBe("BTRFS_IOC_SEND EPERM");
      expect(await outcome(snapshot, { version: 99 })).toBe("BTRFS_IOC_SEND EPROTO");
      expect(await outcome(snapshot, { compressed: true })).toBe("BTRFS_IOC_SEND EINVAL");
      expect(await outcome(snapshot, { parent: 1n << 50n })).toBe("BTRFS_IOC_SEND ENOENT");
    });
  });
});
