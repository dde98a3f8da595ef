import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { KernelError } from "../../src/errors.ts";
import * as linux from "../../src/linux/index.ts";

// Every system call really made, on the filesystem of the temporary directory and on the kernel that runs the tests.
const native = process.platform === "linux" ? linux.loadNative() : undefined!;
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

let scratch: string;
let dir: number;

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "btrkit-linux-"));
  dir = openSync(scratch, constants.O_RDONLY | constants.O_DIRECTORY);
});
afterAll(() => {
  closeSync(dir);
  rmSync(scratch, { recursive: true, force: true });
});

function makeFile(name: string, content: Uint8Array | string = ""): number {
  writeFileSync(join(scratch, name), content);
  return linux.openat(native, dir, name, constants.O_RDWR);
}

function refused(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return (error as KernelError).errno;
  }
  return "nothing";
}

describe.skipIf(process.platform !== "linux")("system calls on the real kernel", () => {
  test("an error names the path it was about", () => {
    expect(() => linux.openat(native, dir, "absent", constants.O_RDONLY)).toThrow(
      `Cannot open file: openat answers ENOENT, no such file or directory (${scratch}/absent)`,
    );
  });

  test("opened descriptors close on exec", () => {
    const fd = makeFile("cloexec");
    expect(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1")).toMatch(/flags:\s*02\d{6}$/m);
    linux.close(native, fd);
    expect(refused(() => linux.close(native, fd))).toBe("EBADF");
  });

  test("entries are made, linked, renamed, exchanged and removed by their bytes", () => {
    const odd = Uint8Array.of(0xff, 0x20, 0xfe);
    linux.mkdirat(native, dir, odd, 0o750);
    expect(linux.statx(native, dir, odd).mode & 0o7777).toBe(0o750);
    const inside = linux.openat(native, dir, odd, constants.O_RDONLY | constants.O_DIRECTORY);
    linux.symlinkat(native, Uint8Array.of(0xc3, 0x28), inside, "link");
    expect(linux.readlinkat(native, inside, "link")).toEqual(Uint8Array.of(0xc3, 0x28));
    linux.mknodat(native, inside, "fifo", constants.S_IFIFO | 0o600);
    linux.linkat(native, inside, "link", inside, "link2");
    expect(linux.statx(native, inside, "link2").nlink).toBe(2);
    linux.renameat2(native, inside, "fifo", inside, "link", linux.RENAME_EXCHANGE);
    expect(linux.statx(native, inside, "link").mode & constants.S_IFMT).toBe(constants.S_IFIFO);
    expect(refused(() => linux.renameat2(native, inside, "link", inside, "link2", linux.RENAME_NOREPLACE))).toBe(
      "EEXIST",
    );
    const listed = [...linux.readDirectory(native, inside)].map(({ name }) => text(name)).sort();
    expect(listed).toEqual(["fifo", "link", "link2"]);
    for (const name of ["fifo", "link", "link2"]) linux.unlinkat(native, inside, name);
    linux.close(native, inside);
    linux.rmdirat(native, dir, odd);
    expect(refused(() => linux.statx(native, dir, odd))).toBe("ENOENT");
  });

  test("a file without a name gets one", () => {
    const fd = linux.openat(native, dir, ".", constants.O_RDWR | linux.O_TMPFILE, 0o600);
    linux.linkDescriptor(native, fd, dir, "named");
    expect(linux.statx(native, dir, "named").ino).toBe(linux.statx(native, fd, undefined).ino);
    linux.close(native, fd);
  });

  test.skipIf(process.getuid?.() !== 0)("devices get the numbers asked for, owners all 32 bits", () => {
    linux.mknodat(native, dir, "disk", constants.S_IFBLK | 0o600, linux.makeDevice(259, 70000));
    expect(linux.statx(native, dir, "disk")).toMatchObject({ rdevMajor: 259, rdevMinor: 70000 });
    linux.symlinkat(native, "nowhere", dir, "owned");
    linux.fchownat(native, dir, "owned", 4_000_000_000, 65534);
    expect(linux.statx(native, dir, "owned")).toMatchObject({ uid: 4_000_000_000, gid: 65534 });
    const fd = makeFile("owned-file");
    linux.fchownat(native, fd, undefined, 12, 13);
    expect(linux.statx(native, dir, "owned-file")).toMatchObject({ uid: 12, gid: 13 });
    linux.close(native, fd);
  });

  test("modes are set on files and never through a symbolic link, with and without fchmodat2", () => {
    const fd = makeFile("mode");
    linux.symlinkat(native, "mode", dir, "to-mode");
    const old: linux.Native = without(native, "fchmodat2");
    for (const [kernel, mode] of [
      [native, 0o4711],
      [old, 0o2750],
    ] as const) {
      linux.fchmodat(kernel, dir, "mode", mode);
      expect(linux.statx(native, fd, undefined).mode & 0o7777).toBe(mode);
      expect(refused(() => linux.fchmodat(kernel, dir, "to-mode", 0o777))).toBe("EOPNOTSUPP");
      expect(linux.statx(native, fd, undefined).mode & 0o7777).toBe(mode);
    }
    linux.fchmodat(native, fd, undefined, 0o600);
    expect(linux.statx(native, dir, "mode").mode & 0o7777).toBe(0o600);
    linux.close(native, fd);
  });

  test("times are set to the nanosecond, also before 1970, one alone, and on a symbolic link", () => {
    const fd = makeFile("times");
    linux.symlinkat(native, "times", dir, "to-times");
    const before = { sec: -2n, nsec: 123_456_789 };
    linux.utimensat(native, dir, "to-times", { atime: before, mtime: { sec: 5n, nsec: 1 } });
    expect(linux.statx(native, dir, "to-times").atime).toMatchObject(before);
    expect(linux.statx(native, dir, "to-times").mtime).toMatchObject({ sec: 5n, nsec: 1 });
    linux.utimensat(native, fd, undefined, { atime: before, mtime: before });
    linux.utimensat(native, dir, "times", { mtime: { sec: 9n, nsec: 9 } });
    const opened = linux.openat(native, dir, "times", linux.O_PATH);
    expect(linux.statx(native, opened, undefined).atime).toMatchObject(before);
    expect(linux.statx(native, opened, undefined).mtime).toMatchObject({ sec: 9n, nsec: 9 });
    linux.utimensat(native, opened, undefined, { mtime: before });
    expect(linux.statx(native, fd, undefined).mtime).toMatchObject(before);
    linux.close(native, opened);
    linux.close(native, fd);
  });

  test("xattrs are set, replaced, read, listed and removed, by name and by descriptor", () => {
    const fd = makeFile("attributes");
    const long = new Uint8Array(1000).map((_, index) => index);
    linux.setXattr(native, dir, "attributes", "user.short", Uint8Array.of(0, 255));
    linux.setXattr(native, fd, undefined, "user.long", long);
    linux.setXattr(native, fd, undefined, "user.empty", new Uint8Array(0));
    expect(linux.findXattr(native, fd, undefined, "user.short")).toEqual(Uint8Array.of(0, 255));
    expect(linux.findXattr(native, dir, "attributes", "user.long")).toEqual(long);
    expect(linux.findXattr(native, dir, "attributes", "user.empty")).toEqual(new Uint8Array(0));
    expect(linux.findXattr(native, dir, "attributes", "user.absent")).toBeUndefined();
    expect(refused(() => linux.setXattr(native, fd, undefined, "user.long", long, linux.XATTR_CREATE))).toBe("EEXIST");
    const names = () => linux.listXattrs(native, dir, "attributes").map(text).sort();
    expect(names()).toEqual(["user.empty", "user.long", "user.short"]);
    linux.removeXattr(native, dir, "attributes", "user.long");
    linux.removeXattr(native, fd, undefined, "user.empty");
    expect(names()).toEqual(["user.short"]);
    linux.close(native, fd);
  });

  test.skipIf(process.getuid?.() !== 0)("xattrs of a symbolic link are its own", () => {
    makeFile("behind");
    linux.symlinkat(native, "behind", dir, "bare");
    linux.setXattr(native, dir, "bare", "trusted.mine", Uint8Array.of(1));
    expect(linux.listXattrs(native, dir, "bare").map(text)).toEqual(["trusted.mine"]);
    expect(linux.listXattrs(native, dir, "behind")).toEqual([]);
  });

  test("bytes are written, read, copied, allocated and punched at their offsets", async () => {
    const fd = makeFile("data");
    linux.pwrite(native, fd, Uint8Array.of(1, 2, 3), 5n);
    await linux.pwriteAsync(native, fd, Uint8Array.of(4), 8192);
    const read = new Uint8Array(4);
    expect(linux.pread(native, fd, read, 6)).toBe(4);
    expect(read).toEqual(Uint8Array.of(2, 3, 0, 0));
    expect(linux.pread(native, fd, read, 8192)).toBe(1);
    expect(linux.pread(native, fd, read, 1n << 40n)).toBe(0);
    const copy = makeFile("copy");
    const all = { from: { fd, offset: 5n }, to: { fd: copy, offset: 0n } };
    expect(linux.copyFileRange(native, all.from, all.to, 1n << 33n)).toBe(8188n);
    expect(linux.pread(native, copy, read, 0)).toBe(4);
    expect(read).toEqual(Uint8Array.of(1, 2, 3, 0));
    linux.fallocate(native, copy, 0, 0, 1 << 20);
    expect(linux.statx(native, copy, undefined).size).toBe(1n << 20n);
    linux.fallocate(native, copy, linux.FALLOC_PUNCH_HOLE | linux.FALLOC_KEEP_SIZE, 0, 4096);
    expect(linux.pread(native, copy, read, 0)).toBe(4);
    expect(read).toEqual(new Uint8Array(4));
    linux.ftruncate(native, copy, 3n);
    expect(linux.statx(native, copy, undefined).size).toBe(3n);
    linux.fsync(native, copy);
    await linux.fsyncAsync(native, copy);
    await linux.syncfs(native, copy);
    linux.close(native, fd);
    linux.close(native, copy);
  });

  test("one descriptor's lock keeps another out", () => {
    const one = makeFile("lock");
    const two = linux.openat(native, dir, "lock", constants.O_RDWR);
    expect(linux.flock(native, one, "exclusive")).toBe(true);
    expect(linux.flock(native, two, "shared")).toBe(false);
    linux.flock(native, one, "unlock");
    expect(linux.flock(native, two, "shared")).toBe(true);
    linux.close(native, one);
    linux.close(native, two);
  });

  test("a filesystem says what it is", () => {
    const { bsize, type } = linux.fstatfs(native, dir);
    expect(bsize).toBeGreaterThanOrEqual(512n);
    expect(type).toBeGreaterThan(0n);
    const proc = openSync("/proc", "r");
    expect(linux.fstatfs(native, proc).type).toBe(0x9fa0n);
    closeSync(proc);
  });

  test.each([
    ["openat2", native],
    ["components", process.platform === "linux" ? without(native, "openat2") : undefined!],
  ])("paths stay beneath the directory (%s)", (way, kernel) => {
    const root = join(scratch, way);
    execFileSync("mkdir", ["-p", `${root}/a/b`]);
    writeFileSync(`${root}/a/b/file`, "inside");
    writeFileSync(join(scratch, "outside"), "outside");
    execFileSync("ln", ["-s", "../outside", `${root}/escape`]);
    execFileSync("ln", ["-s", "a", `${root}/to-a`]);
    execFileSync("ln", ["-s", "/proc/self/root", `${root}/magic`]);
    const top = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
    const open = (path: string, flags = constants.O_RDONLY) => linux.openBeneath(kernel, top, path, flags, 0o600);
    const fd = open("a/b/file");
    expect(readFileSync(fd, "latin1")).toBe("inside");
    linux.close(native, fd);
    const made = open("a/new", constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL);
    expect(linux.statx(native, made, undefined).mode & 0o777).toBe(0o600);
    linux.close(native, made);
    const link = open("escape", linux.O_PATH | constants.O_NOFOLLOW);
    expect(linux.statx(native, link, undefined).mode & constants.S_IFMT).toBe(constants.S_IFLNK);
    linux.close(native, link);
    for (const path of ["escape", "to-a/b/file", "magic/etc/passwd", "escape/x"]) {
      expect(["ELOOP", "ENOTDIR"], path).toContain(refused(() => open(path)));
    }
    expect(refused(() => open("a/none"))).toBe("ENOENT");
    closeSync(top);
  });

  test.each([
    ["openat2", native],
    ["components", process.platform === "linux" ? without(native, "openat2") : undefined!],
  ])("another mount is not entered (%s)", (_way, kernel) => {
    const top = openSync("/", constants.O_RDONLY | constants.O_DIRECTORY);
    expect(refused(() => linux.openBeneath(kernel, top, "proc/self", constants.O_RDONLY))).toBe("EXDEV");
    expect(refused(() => linux.openBeneath(kernel, top, "proc", constants.O_RDONLY))).toBe("EXDEV");
    closeSync(top);
  });

  test("many calls at once all answer, each with its own errno", async () => {
    const fd = makeFile("many", new Uint8Array(4096).fill(9));
    const answers = await Promise.all(
      Array.from({ length: 400 }, async (_, index) => {
        const target = new Uint8Array(16);
        const result = await native.callAsync("pread64", [index % 2 === 0 ? fd : -1, target, 16, index]);
        return [result, target[0]];
      }),
    );
    answers.forEach((answer, index) => {
      expect(answer).toEqual(index % 2 === 0 ? [16, 9] : [-9, 0]);
    });
    linux.close(native, fd);
  });
});

/** The same kernel, as if it were too old for one call. */
function without(kernel: linux.Native, missing: string): linux.Native {
  return {
    call: (name, args, hold) => (name === missing ? -38 : kernel.call(name, args, hold)),
    callAsync: (name, args, hold) => kernel.callAsync(name, args, hold),
    addressOf: (memory) => kernel.addressOf(memory),
  };
}
