import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { NodeRestoreTarget } from "../node/restore-target.ts";
import type { RestoreTarget } from "../restore/target.ts";
import { loadNative } from "./native.ts";
import { closeRestoreHost, openRestoreHost, restoreTargetOf } from "./restore-host.ts";
import { LinuxRestoreTarget } from "./restore-target.ts";
import { findXattr } from "./xattr.ts";

const folder = fs.mkdtempSync(join(tmpdir(), "btrkit-restore-target-"));
const outside = join(folder, "outside");
fs.mkdirSync(outside);
// Node's own removal does not reach the deepest directory.
afterAll(() => execFileSync("rm", ["-rf", folder]));

const utf8 = (text: string) => new TextEncoder().encode(text);
const NAME = Uint8Array.of(0x6e, 0xff, 0x80, 0x0a);

function newRoot(): string {
  return fs.mkdtempSync(join(folder, "root-"));
}

const kinds: [string, (root: string) => { target: RestoreTarget; end: () => void }][] = [
  ["by Node's calls", (root) => ({ target: new NodeRestoreTarget(root), end: () => {} })],
  [
    "by the kernel's calls",
    (root) => {
      const host = openRestoreHost(root);
      return { target: restoreTargetOf(host), end: () => closeRestoreHost(host) };
    },
  ],
];

test("on Linux with koffi, the kernel's calls are used", () => {
  if (process.platform !== "linux") return;
  const host = openRestoreHost(newRoot());
  expect(restoreTargetOf(host)).toBeInstanceOf(LinuxRestoreTarget);
  closeRestoreHost(host);
});

test("file calls set attributes, and tell those that the host can't hold from those that failed", () => {
  if (process.platform !== "linux") return;
  const host = openRestoreHost(newRoot());
  const target = restoreTargetOf(host);
  const calls = target.fileCalls!;
  const top = target.openDirectory(new Uint8Array(0));
  const file = calls.create(top, utf8("file\0"));
  const bytes = utf8("user.note\0valueno-prefix\0user.empty\0");
  const isHeld = calls.setXattr(file, bytes, 0, 10, 5);
  expect(calls.setXattr(file, bytes, 25, 10, 0)).toBe(isHeld);
  // tmpfs takes those of users from Linux 6.6 on.
  if (isHeld === 1) {
    const value = (name: string) => findXattr(loadNative(), file, undefined, name);
    expect([value("user.note"), value("user.empty")]).toEqual([utf8("value"), utf8("")]);
  }
  expect(calls.setXattr(file, bytes, 15, 10, 5)).toBe(0);
  calls.close(file);
  expect(calls.setXattr(file, bytes, 0, 10, 5)).toBeLessThan(0);
  target.close(top);
  closeRestoreHost(host);
});

describe.each(kinds)("a target %s", (_, make) => {
  test("holds files, directories, links and times, under names that are bytes", () => {
    const root = newRoot();
    const { target, end } = make(root);
    const top = target.openDirectory(new Uint8Array(0));
    target.makeDirectory(top, NAME);
    expect(() => target.makeDirectory(top, NAME)).toThrow(expect.objectContaining({ code: "exists" }));
    const directory = target.openDirectory(NAME);
    const file = target.createFile(directory, utf8("temporary"));
    target.write(file, utf8("world"), 6n);
    target.write(file, utf8("hello"), 0n);
    target.truncate(file, 1n << 33n);
    expect(target.setMode(file, undefined, 0o640)).toBe(true);
    expect(target.setTimes(file, undefined, 1_000_000_000n, -1_500_000_000n)).toBe(true);
    target.close(file);
    target.rename(directory, utf8("temporary"), utf8("file"), false);
    target.makeSymlink(directory, utf8("symlink"), utf8("../nowhere"));
    target.setTimes(directory, utf8("symlink"), 5_000_000_000n, 6_000_000_000n);
    target.link(directory, utf8("file"), top, utf8("second"));
    expect(() => target.rename(top, utf8("second"), utf8("none"), false)).not.toThrow();
    const other = target.createFile(top, utf8("other"));
    target.close(other);
    expect(() => target.rename(top, utf8("other"), utf8("none"), false)).toThrow(
      expect.objectContaining({ code: "exists" }),
    );
    expect(target.has(top, utf8("none"))).toBe(true);
    target.rename(top, utf8("other"), utf8("none"), true);
    target.remove(top, utf8("other"));
    target.close(directory);
    target.close(top);
    end();

    const path = Buffer.concat([Buffer.from(`${root}/`), NAME]);
    const at = (name: string) => Buffer.concat([path, Buffer.from(`/${name}`)]);
    const stat = fs.statSync(at("file"));
    expect([stat.size, stat.mode & 0o7777, stat.mtimeMs, stat.atimeMs]).toEqual([2 ** 33, 0o640, -1500, 1000]);
    expect(stat.blocks * 512).toBeLessThan(1 << 20);
    const content = Buffer.alloc(11);
    const fd = fs.openSync(at("file"), "r");
    fs.readSync(fd, content, 0, 11, 0);
    fs.closeSync(fd);
    expect(content.toString()).toBe("hello\0world");
    expect(fs.readlinkSync(at("symlink"))).toBe("../nowhere");
    expect(fs.lstatSync(at("symlink")).mtimeMs).toBe(6000);
    expect(fs.statSync(join(root, "none")).size).toBe(0);
  });

  test("never goes through a symbolic link that lies in the way", () => {
    const root = newRoot();
    const { target, end } = make(root);
    fs.symlinkSync(outside, join(root, "planted"));
    fs.mkdirSync(join(root, "real"));
    fs.symlinkSync(outside, join(root, "real/inner"));
    for (const path of ["planted", "real/inner", "planted/deeper"]) {
      expect(() => target.openDirectory(utf8(path))).toThrow(expect.objectContaining({ name: "TargetError" }));
    }
    const top = target.openDirectory(new Uint8Array(0));
    fs.writeFileSync(join(outside, "victim"), "as it was");
    fs.symlinkSync(join(outside, "victim"), join(root, "file"));
    expect(() => target.createFile(top, utf8("file"))).toThrow(expect.objectContaining({ code: "exists" }));
    expect(() => target.openFile(top, utf8("file"))).toThrow();
    const file = target.createFile(top, utf8("new"));
    target.close(file);
    target.rename(top, utf8("new"), utf8("file"), true);
    target.close(top);
    end();
    expect(fs.lstatSync(join(root, "file")).isFile()).toBe(true);
    expect(fs.readdirSync(outside)).toEqual(["victim"]);
    expect(fs.readFileSync(join(outside, "victim"), "utf8")).toBe("as it was");
  });

  test("a path longer than the kernel takes at once is reached", () => {
    const { target, end } = make(newRoot());
    const name = utf8("d".repeat(250));
    let path = new Uint8Array(0);
    for (let depth = 0; depth < 20; depth++) {
      const directory = target.openDirectory(path);
      target.makeDirectory(directory, name);
      target.close(directory);
      path = path.byteLength === 0 ? name : Uint8Array.from([...path, 0x2f, ...name]);
    }
    const deepest = target.openDirectory(path);
    target.close(target.createFile(deepest, utf8("file")));
    expect(target.has(deepest, utf8("file"))).toBe(true);
    target.close(deepest);
    end();
  });
});
