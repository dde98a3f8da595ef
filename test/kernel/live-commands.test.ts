import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BIN, btrkit } from "../cli/support.ts";
import { applyHistory } from "./support/apply.ts";
import { asPeer, compsize } from "./support/compsize.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { makeHistory } from "./support/history.ts";
import { describeKernel, hasTool } from "./support/host.ts";
import { run, tryRun } from "./support/run.ts";

// Commands on a mounted btrfs, beside the tools of btrfs-progs, and without root.
describeKernel("commands on a mounted btrfs", () => {
  async function withSubvolumes(): Promise<TestFilesystem> {
    const filesystem = await TestFilesystem.make();
    const at = (path: string) => join(filesystem.directory, path);
    await run("btrfs", ["subvolume", "create", at("a")]);
    await run("btrfs", ["subvolume", "create", at("a/b")]);
    mkdirSync(at("a/d/deep"), { recursive: true });
    await run("btrfs", ["subvolume", "create", at("a/d/deep/c")]);
    await run("btrfs", ["subvolume", "create", at("a/b/e")]);
    await run("btrfs", ["subvolume", "snapshot", "-r", at("a/b"), at("a/d/snap")]);
    await run("btrfs", ["subvolume", "snapshot", at("a"), at("other")]);
    return filesystem;
  }

  test("subvolume list prints what btrfs prints, from every place and with every option", async () => {
    await using filesystem = await withSubvolumes();
    for (const place of ["", "a", "a/b", "a/d/deep", "a/b/e"]) {
      const path = join(filesystem.directory, place);
      for (const options of [[], ["-o"], ["-a"], ["-r"], ["-s"], ["-pcguqR"], ["-o", "-u"]]) {
        const ours = btrkit(["subvolume", "list", ...options, path]);
        const peer = await run("btrfs", ["subvolume", "list", ...options, path]);
        expect([ours.stderr, ours.stdout.toString()], `${place} ${options}`).toEqual(["", peer.stdout.toString()]);
      }
    }
  });

  test("subvolume show prints what btrfs prints, the time of sending aside", async () => {
    await using filesystem = await withSubvolumes();
    const withoutSending = (text: Buffer) => text.toString().replace(/\tSend time: .*\n/, "");
    for (const place of ["a", "a/b", "a/d/snap", "other", "a/b/e"]) {
      const path = join(filesystem.directory, place);
      const ours = btrkit(["subvolume", "show", path]);
      const peer = await run("btrfs", ["subvolume", "show", path]);
      expect([ours.stderr, withoutSending(ours.stdout)]).toEqual(["", withoutSending(peer.stdout)]);
    }
    const inside = btrkit(["subvolume", "show", join(filesystem.directory, "a/d")]);
    expect(inside).toMatchObject({ status: 1 });
    expect(inside.stderr).toMatch(/^btrkit: cannot show subvolume: it is a directory, expected the top of a subvolume/);
  });

  test("what is live and what is in the image are listed and shown alike, as JSON", async () => {
    await using filesystem = await withSubvolumes();
    await filesystem.sync();
    const json = (command: string, place: string) =>
      JSON.parse(btrkit(["subvolume", command, "--format", "json", place]).stdout.toString());
    const list = json("list", filesystem.directory);
    const show = json("show", join(filesystem.directory, "a/b"));
    expect(list["subvolume-list"]).toHaveLength(6);
    await filesystem.unmount();
    expect(json("list", filesystem.images[0]!)).toEqual(list);
    expect(json("show", `${filesystem.images[0]}:/a/b`)).toEqual(show);
  });

  test("subvolumes are created, snapshots taken, and both deleted, in the words of btrfs", async () => {
    await using filesystem = await TestFilesystem.make();
    const top = filesystem.directory;
    const at = (path: string) => join(top, path);
    const sub = (...args: string[]) => {
      const { stdout, stderr, status } = btrkit(["subvolume", ...args]);
      return [status, stdout.toString(), stderr];
    };
    expect(sub("create", at("new"))).toEqual([0, `Create subvolume '${top}/new'\n`, ""]);
    expect(sub("create", "-p", at("x/y/deep"))).toEqual([0, `Create subvolume '${top}/x/y/deep'\n`, ""]);
    writeFileSync(at("new/file"), "content");
    const readOnly = [0, `Create a readonly snapshot of '${at("new")}' in '${top}/frozen'\n`, ""];
    expect(sub("snapshot", "-r", at("new"), at("frozen"))).toEqual(readOnly);
    expect(sub("snapshot", at("new"), at("x"))).toEqual([
      0,
      `Create a snapshot of '${at("new")}' in '${at("x")}/new'\n`,
      "",
    ]);
    expect(readFileSync(at("frozen/file"), "utf8")).toBe("content");
    expect(() => writeFileSync(at("frozen/file"), "")).toThrow("EROFS");
    writeFileSync(at("x/new/file"), "changed");

    const none = sub("snapshot", at("x"), at("none"));
    expect(none).toEqual([1, "", `btrkit: cannot take snapshot: it is no subvolume (${at("x")})\n`]);
    const directory = sub("delete", at("x"));
    expect(directory).toEqual([
      1,
      "",
      `btrkit: cannot delete subvolume: it is none (${at("x")})\n`.replace("none", "no subvolume"),
    ]);
    expect(sub("create", at("new"))[2]).toMatch(/BTRFS_IOC_SUBVOL_CREATE_V2 answers EEXIST/);

    await run("btrfs", ["subvolume", "create", at("new/inner")]);
    expect(sub("delete", at("new"))[2]).toMatch(/ENOTEMPTY.*: delete the subvolumes inside first/);
    const deleted = ["frozen", "x/new"].map((path) => `Delete subvolume (commit): '${at(path)}'\n`).join("");
    expect(sub("delete", "-c", at("frozen"), at("x/new"))).toEqual([0, deleted, ""]);
    const list = (await run("btrfs", ["subvolume", "list", top])).stdout.toString();
    const id = /^ID (\d+) .* path new\/inner$/m.exec(list)![1]!;
    expect(sub("delete", "-C", "-i", id, top)).toEqual([0, `Delete subvolume (commit): '${top}/new/inner'\n`, ""]);
    expect(sub("delete", at("missing"), at("new"))).toEqual([
      1,
      `Delete subvolume (no-commit): '${top}/new'\n`,
      `btrkit: cannot find ${at("missing")}: no such file or directory\n`,
    ]);
    expect(readdirSync(top)).toEqual(["x"]);
  });

  test.skipIf(!hasTool("compsize")).for([21, 22, 23])("du counts what compsize counts, seed %i", async (seed) => {
    await using filesystem = await TestFilesystem.make({ mount: "compress=zstd" });
    await applyHistory(filesystem.directory, makeHistory({ seed, profile: "everything", steps: 150 }));
    await filesystem.sync();
    const top = filesystem.directory;
    const file = await firstFile(top);
    for (const place of [top, file, ...readdirSync(top).map((name) => join(top, name))]) {
      const { stdout, stderr, status } = btrkit(["du", "--format", "json", place]);
      expect([status, stderr]).toEqual([0, ""]);
      expect(asPeer(usageOf(JSON.parse(stdout.toString()).du.at(-1))), place).toEqual(await compsize(place));
    }
    const rows = JSON.parse(
      btrkit(["du", "--by", "file", "--by", "subvolume", "--format", "json", top]).stdout.toString(),
    );
    const files = rows.du.filter(({ kind }: { kind: string }) => kind === "file");
    expect(files).toHaveLength(rows.du.at(-1).files);
    expect(files.map(({ path }: { path: string }) => path)).toContain(file);
    const stored = files.reduce((sum: number, row: { total: { stored: number } }) => sum + row.total.stored, 0);
    expect(stored).toBe(rows.du.at(-1).total.stored);
  });

  test("du says which mounted filesystems it leaves out", async () => {
    await using filesystem = await TestFilesystem.make();
    const inner = join(filesystem.directory, "inner");
    mkdirSync(inner);
    await run("mount", ["-t", "tmpfs", "none", inner]);
    try {
      const { stderr, status } = btrkit(["du", filesystem.directory]);
      expect([status, stderr]).toEqual([
        0,
        `btrkit: warning: another filesystem is mounted at ${inner}, it is not counted\n`,
      ]);
    } finally {
      await run("umount", [inner]);
    }
  });

  test("encoded read | encoded write copies a file, extent by extent, unopened", async () => {
    await using filesystem = await TestFilesystem.make({ mount: "compress-force=zstd" });
    const [from, to] = [join(filesystem.directory, "from"), join(filesystem.directory, "to")];
    const size = 300_000;
    writeFileSync(from, Buffer.alloc(size, "some text that repeats itself and is compressed. "));
    await filesystem.sync();
    await filesystem.remount("compress=none");
    const extent = join(filesystem.work, "extent");
    for (let offset = 0; offset < size; ) {
      const read = btrkit(["encoded", "read", "-o", extent, "--offset", String(offset), from]);
      const written = btrkit(["encoded", "write", "--metadata", "-", "--data", extent, "--create", to], {
        input: read.stdout,
      });
      expect([read.stderr, written.stderr, written.status]).toEqual(["", "", 0]);
      const answer = JSON.parse(read.stdout.toString())["encoded-read"];
      expect(answer.encoded_length).toBeLessThan(10_000);
      // The same with flags instead of JSON.
      const flags = ["--offset", String(offset), "--length", String(answer.length), "--compression", "zstd"];
      const again = btrkit(
        ["encoded", "write", ...flags, "--unencoded-length", String(answer.unencoded_length), "--create", `${to}-2`],
        { input: readFileSync(extent) },
      );
      expect([again.stderr, again.status]).toEqual(["", 0]);
      offset += answer.length;
    }
    await filesystem.sync();
    for (const copy of [to, `${to}-2`]) {
      expect(readFileSync(copy).equals(readFileSync(from))).toBe(true);
      expect((await compsizeOf(copy)).types).toEqual((await compsizeOf(from)).types);
    }
  });

  async function compsizeOf(path: string) {
    const { stdout } = btrkit(["du", "--format", "json", path]);
    return asPeer(usageOf(JSON.parse(stdout.toString()).du.at(-1)));
  }

  test("encoded write leaves no new file behind when the kernel refuses, and says why", async () => {
    await using filesystem = await TestFilesystem.make();
    const file = join(filesystem.directory, "file");
    const args = ["encoded", "write", "--compression", "zstd", "--create", file];
    const ran = btrkit([...args, "--unencoded-length", "100"], { input: Buffer.alloc(4096) });
    expect(ran.stderr).toMatch(/^btrkit: cannot write encoded: BTRFS_IOC_ENCODED_WRITE answers EINVAL.*multiples of/);
    expect(ran.status).toBe(1);
    expect(readdirSync(filesystem.directory)).toEqual([]);
    const missing = btrkit(args, { input: Buffer.alloc(4096) });
    expect(missing.status).toBe(2);
    const elsewhere = btrkit([
      "encoded",
      "write",
      "--create",
      ...args.slice(2, 4),
      "--unencoded-length",
      "8K",
      "/dev/shm/btrkit-none",
    ]);
    expect(elsewhere.stderr).toMatch(/^btrkit: cannot use path: it is not on a mounted btrfs/);
    expect(statSync("/dev/shm/btrkit-none", { throwIfNoEntry: false })).toBeUndefined();
  });

  test("who is not root is told so, and may make subvolumes", async () => {
    await using filesystem = await TestFilesystem.make();
    const { directory } = filesystem;
    writeFileSync(join(directory, "file"), Buffer.alloc(8192, "x"));
    await run("chmod", ["0777", directory]);
    await run("chmod", ["0755", filesystem.work]);
    const asNobody = (...args: string[]) => {
      const ran = spawnSync("setpriv", [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        process.execPath,
        BIN,
        ...args,
      ]);
      return [ran.status, ran.stdout.toString(), ran.stderr.toString()];
    };
    for (const words of [["du"], ["subvolume", "list"], ["subvolume", "show"]]) {
      expect(asNobody(...words, directory)[2], words.join(" ")).toMatch(/answers EPERM.*this needs root/);
    }
    expect(asNobody("encoded", "read", "-o", "/dev/null", join(directory, "file"))[2]).toMatch(/this needs root/);
    expect(asNobody("subvolume", "create", join(directory, "mine"))[0]).toBe(0);
    expect((await tryRun("btrfs", ["subvolume", "show", join(directory, "mine")])).code).toBe(0);
  });
});

async function firstFile(directory: string): Promise<string> {
  const { stdout } = await run("find", [directory, "-type", "f"]);
  const lines = stdout.toString("latin1").split("\n");
  return lines.find((line) => /^[\x20-\x7e]+$/.test(line))!;
}

type Bytes = Readonly<Record<"stored" | "decoded" | "referenced", number>>;

function usageOf(
  row: { total: Bytes; by_type: Record<string, Bytes> } & Record<"files" | "extents" | "references" | "inline", number>,
) {
  const big = ({ stored, decoded, referenced }: Bytes) => ({
    stored: BigInt(stored),
    decoded: BigInt(decoded),
    referenced: BigInt(referenced),
  });
  const byType = Object.fromEntries(Object.entries(row.by_type).map(([type, bytes]) => [type, big(bytes)]));
  const { files, extents, references, inline } = row;
  return { files, extents, references, inline, total: big(row.total), byType };
}
