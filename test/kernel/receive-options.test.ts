import { closeSync, constants, copyFileSync, existsSync, openSync, readFileSync, truncateSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { loadCodecs } from "#codec";
import { concatBytes } from "../../src/bytes/bytes.ts";
import { INODE_IMMUTABLE, INODE_NODATACOW, INODE_NODUMP } from "../../src/format/inode.ts";
import { FS_NOCOW_FL, FS_NODUMP_FL, getFileFlags } from "../../src/linux/file-ioctls.ts";
import { findXattr, loadNative, measureVerity } from "../../src/linux/index.ts";
import { clone, encodedWrite, fileattr, mkfile, snapshot, subvol, truncate, write } from "../support/raw-commands.ts";
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

describeKernel("files whose end is replaced", () => {
  test("encoded data up to the end of what a file is shortened to is carried, and nothing of the old end comes back", async () => {
    await using filesystem = await TestFilesystem.make();
    const codecs = await loadCodecs();
    const text = fillBytes({ kind: "text", seed: 5 }, 128 << 10);
    const output = new Uint8Array(text.byteLength);
    const stored = output.slice(0, codecs.encode("zlib", text, output, { sectorSize: 4096 }));
    const old = fillBytes({ kind: "noise", seed: 6 }, 300_000);
    const end = 5000;
    const encoded = (path: string, offset = 0) =>
      encodedWrite(path, stored, { offset, length: end, unencodedLength: text.byteLength });
    const x = (size: number): Uint8Array => new Uint8Array(size).fill(0x78);
    const cases: Record<string, { commands: Uint8Array[]; content: Uint8Array }> = {
      shorter: { commands: [encoded("shorter"), truncate("shorter", end)], content: text.subarray(0, end) },
      later: {
        commands: [encoded("later", 8192), truncate("later", 8192 + end)],
        content: concatBytes([old.subarray(0, 8192), text.subarray(0, end)]),
      },
      // Something else than the end is written: the kernel has to refuse it, and what is behind it stays.
      inside: {
        commands: [encoded("inside"), truncate("inside", end + 1)],
        content: concatBytes([text.subarray(0, end), old.subarray(end, end + 1)]),
      },
      // Longer again: what was cut off is zeros.
      again: {
        commands: [encoded("again"), truncate("again", end), truncate("again", 20_000)],
        content: concatBytes([text.subarray(0, end), new Uint8Array(20_000 - end)]),
      },
      plain: { commands: [write("plain", x(9000)), truncate("plain", 9000)], content: x(9000) },
      run: {
        commands: [write("run", x(4096)), write("run", x(100), 4096), truncate("run", 4196)],
        content: x(4196),
      },
      grown: {
        commands: [write("grown", x(9), 299_008)],
        content: concatBytes([old.subarray(0, 299_008), x(9), old.subarray(299_017)]),
      },
      whole: { commands: [write("whole", x(300_001)), write("whole", x(5), 8192)], content: x(300_001) },
      odd: {
        commands: [write("odd", x(500), 4097), truncate("odd", 4597)],
        content: concatBytes([old.subarray(0, 4097), x(500)]),
      },
      cloned: {
        commands: [clone("other", "cloned", 8192, 2), write("cloned", x(3)), truncate("cloned", 3)],
        content: x(3),
      },
    };
    const names = Object.keys(cases);
    const first = [
      ...names.flatMap((name) => [mkfile(name), write(name, old)]),
      mkfile("other"),
      write("other", x(9000)),
    ];
    await liveReceive(stream(2, subvol("one", 1), ...first, END), filesystem.directory);
    const changes = Object.values(cases).flatMap(({ commands }) => commands);
    const { encoded: tally } = await liveReceive(
      stream(2, snapshot("two", 2, 1), ...changes, END),
      filesystem.directory,
    );
    expect(tally.carried).toBe(3);
    expect(Object.fromEntries(tally.decoded)).toEqual({ "the kernel refused its numbers": 1 });
    await filesystem.unmount();
    await filesystem.mount();
    for (const name of names) {
      const content = readFileSync(join(filesystem.directory, "two", name));
      expect(`${name} ${Buffer.compare(content, cases[name]!.content)}`).toBe(`${name} 0`);
    }
    const other = readFileSync(join(filesystem.directory, "two/other"));
    expect(Buffer.compare(other, concatBytes([old.subarray(0, 8192), x(808)]))).toBe(0);
    await filesystem.unmount();
    expect((await filesystem.check()).code).toBe(0);
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
