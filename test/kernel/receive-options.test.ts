import { closeSync, constants, copyFileSync, existsSync, openSync, readFileSync, truncateSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { loadCodecs } from "#codec";
import { concatBytes } from "../../src/bytes/bytes.ts";
import { INODE_IMMUTABLE, INODE_NODATACOW, INODE_NODUMP } from "../../src/format/inode.ts";
import { FS_NOCOW_FL, FS_NODUMP_FL, getFileFlags } from "../../src/linux/file-ioctls.ts";
import { findXattr, loadNative, measureVerity } from "../../src/linux/index.ts";
import { encodedWrite, fileattr, mkfile, snapshot, subvol, write } from "../support/raw-commands.ts";
import { commandOf, END, stream, u32 } from "../support/raw-stream.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { describeKernel } from "./support/host.ts";
import { fillBytes } from "./support/operations.ts";
import { liveReceive } from "./support/receive.ts";
import { run, tryRun } from "./support/run.ts";

// What options and odd disks make of hand-made streams.

const BIN = resolve(import.meta.dirname, "../../dist/cli/bin.js");
const MARK = "user.btrkit.receiving";

const btrkit = (input: Uint8Array, ...args: string[]) =>
  tryRun(process.execPath, [BIN, "receive", ...args], { input, env: { NODE_EXTRA_CA_CERTS: "" } });

const isMarked = (path: string): boolean => findXattr(loadNative(), -100, path, MARK) !== undefined;

function onFile<T>(path: string, use: (fd: number) => T): T {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

describeKernel("options of receive", () => {
  test("inode flags are applied with --fileattr only, and what can't be had is counted", async () => {
    await using filesystem = await TestFilesystem.make();
    const flags = INODE_NODATACOW | INODE_NODUMP;
    const commands = [mkfile("a"), fileattr("a", flags), mkfile("b"), fileattr("b", INODE_NODUMP | INODE_IMMUTABLE)];
    const flagsOf = (path: string): number =>
      onFile(join(filesystem.directory, path), (fd) => getFileFlags(loadNative(), fd));

    expect((await btrkit(stream(2, subvol("plain"), ...commands, END), filesystem.directory)).code).toBe(0);
    expect(flagsOf("plain/a")).toBe(0);

    const ran = await btrkit(stream(2, subvol("with"), ...commands, END), "--fileattr", filesystem.directory);
    expect(ran.stderr.toString()).toContain("inode flags of 1 files could not all be set");
    expect(flagsOf("with/a")).toBe(FS_NOCOW_FL | FS_NODUMP_FL);
    expect(flagsOf("with/b")).toBe(FS_NODUMP_FL);
  });

  test("-m says where the filesystem is mounted, and the parent is found below that", async () => {
    await using filesystem = await TestFilesystem.make();
    const [place, hidden] = [join(filesystem.directory, "place"), join(filesystem.directory, "hidden")];
    await mkdir(place);
    await mkdir(hidden);
    const full = stream(2, subvol("one", 1), mkfile("a"), write("a", "content"), END);
    expect((await btrkit(full, "-m", filesystem.directory, place)).stderr.toString()).toBe("At subvol one\n");
    const next = (name: string, id: number) => stream(2, snapshot(name, id, 1), write("a", "CON"), END);
    const ran = await btrkit(next("two", 2), "-m", filesystem.directory, place);
    expect(ran.stdout.toString()).toBe("At snapshot two\n");
    expect(readFileSync(join(place, "two/a"), "utf8")).toBe("CONtent");

    // Through a mount that shows another part of the filesystem, the parent is not there.
    const elsewhere = await btrkit(next("three", 3), "-m", hidden, place);
    expect(elsewhere.code).toBe(1);
    expect(elsewhere.stderr.toString()).toContain("ERROR: cannot find parent subvolume");
    expect(existsSync(join(place, "three"))).toBe(false);
  });

  test("with --syncfs the data are on the disk when it ends, with --fsync each file's", async () => {
    const content = fillBytes({ kind: "noise", seed: 1 }, 3 << 20);
    for (const option of ["--syncfs", "--fsync"]) {
      await using filesystem = await TestFilesystem.make();
      const input = stream(2, subvol("s"), mkfile("a"), write("a", content), END);
      expect((await btrkit(input, option, filesystem.directory)).code).toBe(0);
      // As if the power failed now.
      const copy = join(filesystem.work, "copy");
      copyFileSync(filesystem.images[0]!, copy);
      await filesystem.unmount();
      await using after = await TestFilesystem.make({ images: [copy] });
      expect(Buffer.compare(readFileSync(join(after.directory, "s/a")), content)).toBe(0);
    }
  });

  test("a file is sealed with fs-verity where the kernel has it; where not, that is an error", async () => {
    await using filesystem = await TestFilesystem.make();
    const seal = commandOf(3, 26, [
      [15, "a"],
      [32, Uint8Array.of(1)],
      [33, u32(4096)],
      [34, "salt"],
      [35, ""],
    ]);
    const ran = await btrkit(
      stream(3, subvol("s"), mkfile("a"), write("a", "sealed"), seal, END),
      filesystem.directory,
    );
    const file = join(filesystem.directory, "s/a");
    if (ran.code === 0) {
      const answer = onFile(file, (fd) => measureVerity(loadNative(), fd));
      expect(answer).toMatchObject({ hashAlgorithm: 1, digest: { byteLength: 32 } });
    } else {
      expect(ran.stderr.toString()).toMatch(
        /ERROR: failed to enable verity on a: (Operation not supported|Inappropriate)/,
      );
      expect(isMarked(join(filesystem.directory, "s"))).toBe(true);
    }
    expect(readFileSync(file, "utf8")).toBe("sealed");
  });
});

describeKernel("encoded writes that the kernel does not take", () => {
  test("LZO of other sector sizes, nodatacow files and unaligned ends are decoded, each with its reason", async () => {
    await using filesystem = await TestFilesystem.make();
    const codecs = await loadCodecs();
    const content = fillBytes({ kind: "text", seed: 2 }, 128 << 10);
    const output = new Uint8Array(content.byteLength);
    const lzo = (sectorSize: number) => output.slice(0, codecs.encode("lzo", content, output, { sectorSize }));
    const zlib = output.slice(0, codecs.encode("zlib", content, output, { sectorSize: 4096 }));
    const length = content.byteLength;
    const sizes = [4096, 8192, 16384, 32768, 65536];
    const files = sizes.map((size, n) =>
      concatBytes([mkfile(`lzo-${size}`), encodedWrite(`lzo-${size}`, lzo(size), { length, compression: 3 + n })]),
    );
    const nocow = concatBytes([
      mkfile("nocow"),
      fileattr("nocow", INODE_NODATACOW),
      encodedWrite("nocow", zlib, { length }),
    ]);
    // Inside of the file an end has to be one of a sector.
    const inside = concatBytes([
      mkfile("inside"),
      write("inside", new Uint8Array(length).fill(0x78)),
      encodedWrite("inside", zlib, { length: 5000, unencodedLength: length }),
    ]);
    const input = stream(2, subvol("s"), ...files, nocow, inside, END);
    const { encoded } = await liveReceive(input, filesystem.directory, { fileattr: true });
    expect(encoded.carried).toBe(1);
    expect(Object.fromEntries(encoded.decoded)).toEqual({
      "LZO of another sector size": 4,
      "the file has no checksums (nodatacow)": 1,
      "the kernel refused its numbers": 1,
    });
    await filesystem.unmount();
    await filesystem.mount();
    const read = (name: string): Buffer => readFileSync(join(filesystem.directory, "s", name));
    for (const size of sizes) expect(Buffer.compare(read(`lzo-${size}`), content)).toBe(0);
    expect(Buffer.compare(read("nocow"), content)).toBe(0);
    const rest = new Uint8Array(length - 5000).fill(0x78);
    expect(Buffer.compare(read("inside"), concatBytes([content.subarray(0, 5000), rest]))).toBe(0);
  });
});

describeKernel("a disk that can't be read any more", () => {
  test("an increment that needs the lost part ends with an I/O error, unfinished", async () => {
    await using filesystem = await TestFilesystem.make({ mkfs: ["-m", "single"] });
    const content = fillBytes({ kind: "noise", seed: 3 }, 48 << 20);
    await writeFile(join(filesystem.work, "full"), stream(2, subvol("one", 1), mkfile("a"), write("a", content), END));
    await run(process.execPath, [BIN, "receive", "-q", "-f", join(filesystem.work, "full"), filesystem.directory]);
    await filesystem.sync();
    // Out of the page cache, and out of the file behind the loop device. What mkfs laid out lies in front.
    await run("dd", [`if=${join(filesystem.directory, "one/a")}`, "iflag=nocache", "count=0"]);
    truncateSync(filesystem.images[0]!, 32 << 20);
    const commands = [mkfile("new"), write("new", "new"), write("a", "x", (44 << 20) + 5)];
    const ran = await btrkit(stream(2, snapshot("two", 2, 1), ...commands, END), filesystem.directory);
    expect(ran.stderr.toString()).toContain("ERROR: writing to a failed: Input/output error");
    expect(ran.stderr.toString()).toContain("two is unfinished");
    expect(ran.code).toBe(1);
    expect(isMarked(join(filesystem.directory, "two"))).toBe(true);
    expect((await tryRun(process.execPath, [BIN, "receive", "--cleanup", filesystem.directory])).code).toBe(0);
    expect(existsSync(join(filesystem.directory, "two"))).toBe(false);
  });
});
