import { constants } from "node:fs";
import { expect, test } from "vitest";
import { FakeNative } from "../../test/support/fake-native.ts";
import { BtrfsError, KernelError } from "../errors.ts";
import { fchmodat, fchownat, utimensat } from "./attributes.ts";
import { cString } from "./call.ts";
import { makeDevice, mkdirat } from "./entries.ts";
import { copyFileRange, flock, pwrite } from "./file.ts";
import { openBeneath, splitPath } from "./open.ts";
import { findXattr, listXattrs, setXattr } from "./xattr.ts";

const text = (bytes: unknown) => new TextDecoder().decode(bytes as Uint8Array);

function errorOf(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

test("a refusal names the call, the errno, the path and what can be done", () => {
  const native = new FakeNative({
    mkdirat: -28,
    readlinkat: ([, , target]) => {
      (target as Uint8Array).set(new TextEncoder().encode("/mnt/backup"));
      return 11;
    },
  });
  const error = errorOf(() => mkdirat(native, 7, "photos", 0o700)) as KernelError;
  expect(error).toBeInstanceOf(KernelError);
  expect(error).toMatchObject({ call: "mkdirat", errno: "ENOSPC", where: { file: "/mnt/backup/photos" } });
  expect(error.message).toBe(
    "Cannot create directory: mkdirat answers ENOSPC, no space left: free some space first (/mnt/backup/photos)",
  );
});

test("an errno that is not in the table is still told by its number", () => {
  const error = errorOf(() => mkdirat(new FakeNative({ mkdirat: -133 }), -100, "x", 0)) as KernelError;
  expect(error).toMatchObject({ errno: "errno 133", where: { file: "x" } });
});

test("a NUL in a name is refused before the kernel would stop there", () => {
  const native = new FakeNative({ mkdirat: 0 });
  const error = errorOf(() => mkdirat(native, 7, Uint8Array.of(0x61, 0, 0x62), 0o700));
  expect(error).toBeInstanceOf(BtrfsError);
  expect((error as BtrfsError).code).toBe("path");
  expect(native.calls).toEqual([]);
});

test("names reach the kernel as the bytes they are, with a NUL behind", () => {
  expect([...cString(Uint8Array.of(0xff, 0xfe))]).toEqual([0xff, 0xfe, 0]);
  expect([...cString("ä")]).toEqual([0xc3, 0xa4, 0]);
});

test.each(["", "/a", "a//b", "a/", "./a", "a/../b", ".."])("path %j is not beneath anything", (path) => {
  const native = new FakeNative({ openat2: 3 });
  expect((errorOf(() => openBeneath(native, 5, path, 0)) as BtrfsError).code).toBe("path");
  expect(native.calls).toEqual([]);
});

test("names that only begin with dots are names", () => {
  expect(splitPath("...//a".replace("//", "/")).map(text)).toEqual(["...", "a"]);
  expect(splitPath("..a/.b").map(text)).toEqual(["..a", ".b"]);
});

test("openBeneath asks openat2 for confinement, and closes on exec", () => {
  const native = new FakeNative({ openat2: ([directory]) => (directory === -100 ? -22 : 9) });
  expect(openBeneath(native, 5, "a/b", 0o2, 0o600)).toBe(9);
  expect(openBeneath(native, 5, "a/b", 2 | constants.O_CREAT, 0o600)).toBe(9);
  const [, ...opens] = native.calls.map(({ args }) =>
    args[2] instanceof Uint8Array ? [...new BigUint64Array(Uint8Array.from(args[2]).buffer)] : [],
  );
  // openat2 refuses a mode where nothing is created.
  expect(opens).toEqual([
    [0o2000002n, 0n, 0x0fn],
    [BigInt(0o2000002 | constants.O_CREAT), 0o600n, 0x0fn],
  ]);
});

test("pwrite goes on after a short write", () => {
  const native = new FakeNative({ pwrite64: ([, data]) => Math.min(3, (data as Uint8Array).byteLength) });
  pwrite(native, 4, new Uint8Array(8), 1n << 40n);
  expect(native.calls.map(({ args }) => args.slice(2))).toEqual([
    [8, 1n << 40n],
    [5, (1n << 40n) + 3n],
    [2, (1n << 40n) + 6n],
  ]);
});

test("copyFileRange loops and stops where the source ends", () => {
  const answers = [100, 50, 0];
  const native = new FakeNative({ copy_file_range: () => answers.shift()! });
  expect(copyFileRange(native, { fd: 3, offset: 0n }, { fd: 4, offset: 0n }, 1000n)).toBe(150n);
});

test("xattrs of a name go through /proc/self/fd and never follow the link", () => {
  const native = new FakeNative({ lsetxattr: 0 });
  setXattr(native, 6, "link", "user.a", Uint8Array.of(1, 2));
  expect(text(native.calls[0]!.args[0])).toBe("/proc/self/fd/6/link\0");
  expect(native.calls[0]!.args.slice(2)).toEqual([Uint8Array.of(1, 2), 2, 0]);
});

test("a value longer than the first guess is read again, an absent one is undefined", () => {
  const native = new FakeNative({
    fgetxattr: ([, , target, size]) => {
      if ((size as number) < 300) return -34;
      (target as Uint8Array).fill(7, 0, 300);
      return 300;
    },
    lgetxattr: -61,
  });
  expect(findXattr(native, 6, undefined, "user.a")).toEqual(new Uint8Array(300).fill(7));
  expect(findXattr(native, 6, "f", "user.a")).toBeUndefined();
});

test("xattr names are split at their NULs", () => {
  const native = new FakeNative({
    flistxattr: ([, target]) => {
      (target as Uint8Array).set(new TextEncoder().encode("user.a\0security.b\0"));
      return 18;
    },
  });
  expect(listXattrs(native, 6, undefined).map(text)).toEqual(["user.a", "security.b"]);
});

test("undefined as a name means the open file itself", () => {
  const native = new FakeNative({ fchownat: 0, fchmod: 0, utimensat: 0 });
  fchownat(native, 6, undefined, 1, 2);
  fchmodat(native, 6, undefined, 0o644);
  utimensat(native, 6, undefined, { mtime: { sec: -1n, nsec: 999_999_999 } });
  expect(native.calls[0]!.args.slice(2)).toEqual([1, 2, 0x1000]);
  expect(native.calls[1]!.name).toBe("fchmod");
  expect([...new BigInt64Array((native.calls[2]!.args[2] as Uint8Array).buffer)]).toEqual([
    0n,
    0x3ffffffen,
    -1n,
    999_999_999n,
  ]);
});

test("a lock that somebody else holds is an answer, not an error", () => {
  expect(flock(new FakeNative({ flock: -11 }), 3, "exclusive")).toBe(false);
  expect(flock(new FakeNative({ flock: 0 }), 3, "exclusive")).toBe(true);
});

test("device numbers are packed as the kernel unpacks them", () => {
  expect(makeDevice(8, 1)).toBe(0x801);
  expect(makeDevice(0xfff, 0xfffff)).toBe(0xffffffff);
  expect(makeDevice(1, 0x12345)).toBe(0x12300145);
  expect(() => makeDevice(4096, 0)).toThrow(RangeError);
});
