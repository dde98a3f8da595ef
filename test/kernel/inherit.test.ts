import { join } from "node:path";
import { expect, test } from "vitest";
import { toBytes } from "../../src/bytes/bytes.ts";
import * as edit from "../../src/edit/index.ts";
import { BtrfsError } from "../../src/errors.ts";
import { FILE_EXTENT_INLINE } from "../../src/format/file-extent.ts";
import { INODE_COMPRESS, INODE_NOCOMPRESS, INODE_NODATACOW } from "../../src/format/inode.ts";
import { FIRST_FREE_OBJECTID, FS_TREE_OBJECTID } from "../../src/format/objectid.ts";
import { openFilesystem } from "../../src/fs/filesystem.ts";
import type { Inode } from "../../src/fs/inode.ts";
import { makeFilesystem } from "../../src/mkfs/mkfs.ts";
import { openFileDevice } from "../../src/node/file-device.ts";
import { openWritableVolume } from "../../src/transaction/writable.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { describeKernel } from "./support/host.ts";
import { Random } from "./support/random.ts";
import { run } from "./support/run.ts";
import { WrittenImage } from "./support/written.ts";

// What directories hand down, what properties do to writes, and how modes and ACLs follow each other: random steps by the kernel and by btrkit, each on a
// filesystem of its own, leave the same flags, modes, owners, attributes and extents. BTRKIT_SEEDS asks for more seeds.

interface Step {
  readonly do: string;
  readonly path: string;
  readonly to?: string;
  readonly name?: string;
  readonly value?: string;
  readonly mode?: number;
  readonly offset?: number;
  readonly length?: number;
}

const MODES = [0o777, 0o755, 0o640, 0o666, 0o400, 0o070, 0o007];
const VALUES = ["zlib", "lzo", "zstd", "zstd:9", "zlib:", "lzox", "no", "none", "", "ZSTD", "zst", "nope", "no\0"];
const COMPRESSION = "btrfs.compression";
const STEPS = 80;

function makeSteps(seed: number): Step[] {
  const random = new Random(seed);
  const steps: Step[] = [];
  const directories = ["."];
  const files: string[] = [];
  const others: string[] = [];
  const written = new Set<string>();
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  for (let n = 0; n < STEPS; n++) {
    const mode = random.pick(MODES);
    const path = join(random.pick(directories), `n${n}`);
    const kind = random.weighted({
      file: 20,
      directory: 14,
      symlink: 2,
      fifo: 2,
      subvolume: 4,
      set: 14,
      remove: 3,
      odd: 1,
      acl: 6,
      flag: 4,
      setgid: 4,
      access: 8,
      chmod: 8,
      write: 24,
      rename: 4,
    });
    if (kind === "file") {
      files.push(path);
      steps.push({ do: kind, path, mode });
    } else if (kind === "directory" || kind === "subvolume") {
      directories.push(path);
      steps.push({ do: kind, path, mode });
    } else if (kind === "symlink" || kind === "fifo") {
      others.push(path);
      steps.push({ do: kind, path, mode });
    } else if (kind === "set" || kind === "remove" || kind === "odd") {
      const target = random.pick([...directories, ...directories, ...files, ...others]);
      const value = hex(toBytes(random.pick(VALUES)));
      if (kind === "remove") steps.push({ do: kind, path: target, name: COMPRESSION });
      else steps.push({ do: "set", path: target, name: kind === "set" ? COMPRESSION : "btrfs.odd", value });
    } else if (kind === "acl") {
      const target = random.pick(directories);
      steps.push({ do: "set", path: target, name: "system.posix_acl_default", value: hex(makeAcl(random)) });
    } else if (kind === "flag") {
      // Flags of what is there already are other business: their rules are chattr's.
      directories.push(path);
      steps.push({ do: "directory", path, mode: 0o755 });
      // With a property, and without.
      if (random.chance(50)) steps.push({ do: "set", path, name: COMPRESSION, value: "" });
      steps.push({ do: kind, path, name: random.pick(["nodatacow", "nocompress"]) });
    } else if (kind === "setgid") {
      const target = random.pick(directories);
      steps.push({ do: kind, path: target });
    } else if (kind === "access") {
      const target = random.pick([...directories, ...files, ...others]);
      const name = "system.posix_acl_access";
      if (random.chance(15)) steps.push({ do: "remove", path: target, name });
      else steps.push({ do: "set", path: target, name, value: random.chance(10) ? "0200" : hex(makeAcl(random)) });
    } else if (kind === "chmod") {
      const target = random.pick([...directories, ...files]);
      steps.push({ do: kind, path: target, mode: random.pick(MODES) | random.pick([0, 0o1000, 0o2000, 0o4000]) });
    } else if (kind === "write" && files.length > 0) {
      // Once each: what is there changes how the kernel goes about the next write.
      const target = random.pick(files);
      if (written.has(target)) continue;
      written.add(target);
      const [offset, length] = random.pick([
        [0, 100],
        [0, 3000],
        [0, 5000],
        [0, 8192],
        [0, 300_000],
        [65_536, 200_001],
        [4096, 4096],
      ]);
      steps.push({ do: kind, path: target, offset: offset!, length: length! });
    } else if (kind === "rename" && files.length > 0) {
      const index = random.between(0, files.length - 1);
      steps.push({ do: kind, path: files[index]!, to: path });
      if (written.has(files[index]!)) written.add(path);
      files[index] = path;
    }
  }
  return steps;
}

function makeAcl(random: Random): Uint8Array {
  const entries: [tag: number, id: number][] = [[0x01, -1]];
  const users = random.between(0, 2);
  for (let id = 0; id < users; id++) entries.push([0x02, 1000 + id]);
  entries.push([0x04, -1]);
  const groups = random.between(0, 1);
  for (let id = 0; id < groups; id++) entries.push([0x08, 2000 + id]);
  if (users + groups > 0 || random.chance(30)) entries.push([0x10, -1]);
  entries.push([0x20, -1]);
  const acl = new DataView(new ArrayBuffer(4 + 8 * entries.length));
  acl.setUint32(0, 2, true);
  for (const [index, [tag, id]] of entries.entries()) {
    acl.setUint16(4 + 8 * index, tag, true);
    acl.setUint16(6 + 8 * index, random.between(0, 7), true);
    acl.setInt32(8 + 8 * index, id, true);
  }
  return new Uint8Array(acl.buffer);
}

async function byKernel(steps: readonly Step[], filesystem: TestFilesystem): Promise<boolean[]> {
  const script = new URL("./support/inherit.py", import.meta.url).pathname;
  const { stdout } = await run("python3", [script, filesystem.directory], { input: JSON.stringify(steps) });
  return JSON.parse(stdout.toString());
}

/** A transaction for each step, so that what is inherited is found in trees and in memory. */
async function byBtrkit(steps: readonly Step[], image: WrittenImage, stepsEach: number): Promise<boolean[]> {
  const taken: boolean[] = [];
  const subvolumes = new Map<string, bigint>([[".", FS_TREE_OBJECTID]]);
  await using volume = await openWritableVolume([await openFileDevice(image.path, { writable: true })]);
  for (let first = 0; first < steps.length; first += stepsEach) {
    await volume.transaction(async (tx) => {
      for (const step of steps.slice(first, first + stepsEach)) {
        try {
          await carryOut(tx, step, subvolumes);
          taken.push(true);
        } catch (error) {
          if (!(error instanceof BtrfsError)) throw error;
          taken.push(false);
        }
      }
    });
  }
  return taken;
}

async function carryOut(tx: edit.Place["tx"], step: Step, subvolumes: Map<string, bigint>): Promise<void> {
  const walk = async (path: string): Promise<{ at: edit.Place; inode: bigint }> => {
    let at: edit.Place = { tx, tree: FS_TREE_OBJECTID, now: 1_700_000_000_000_000_000n };
    let inode = FIRST_FREE_OBJECTID;
    let known = ".";
    for (const name of path.split("/").filter((part) => part !== ".")) {
      known = join(known, name);
      const tree = subvolumes.get(known);
      inode =
        tree === undefined ? (await edit.getName(at, inode, toBytes(name))).location.objectid : FIRST_FREE_OBJECTID;
      if (tree !== undefined) at = { ...at, tree };
    }
    return { at, inode };
  };
  const parts = step.path.split("/");
  const name = parts.pop()!;
  const above = await walk(parts.join("/") || ".");
  const { mode } = step;
  switch (step.do) {
    case "file":
      await edit.createFile(above.at, above.inode, name, { mode });
      return;
    case "directory":
      await edit.makeDirectory(above.at, above.inode, name, { mode });
      return;
    case "symlink":
      await edit.makeSymlink(above.at, above.inode, name, toBytes("target"));
      return;
    case "fifo":
      await edit.makeSpecial(above.at, above.inode, name, { kind: "fifo" }, { mode });
      return;
    case "subvolume":
      subvolumes.set(
        step.path,
        await edit.createSubvolume(above.at, above.inode, name, { attributes: { mode: 0o777 } }),
      );
      return;
    case "rename": {
      const to = step.to!.split("/");
      const newName = to.pop()!;
      const target = await walk(to.join("/") || ".");
      if (target.at.tree !== above.at.tree) throw new BtrfsError("unsupported", "they lie in two subvolumes");
      return edit.rename(above.at, above.inode, name, target.inode, newName);
    }
  }
  const { at, inode } = await walk(step.path);
  switch (step.do) {
    case "set":
      return edit.setXattr(at, inode, step.name!, Buffer.from(step.value!, "hex"));
    case "remove":
      return edit.removeXattr(at, inode, step.name!);
    case "setgid":
      return edit.setAttributes(at, inode, { gid: 77, mode: 0o2775 });
    case "chmod":
      return edit.setAttributes(at, inode, { mode: mode! });
    case "flag":
      return carryOutFlag(at, inode, step.name!);
    case "write": {
      const { length, offset } = step;
      const text = "a line that gets smaller when it is compressed\n".repeat(Math.floor(length! / 47));
      return edit.writeFile(at, inode, BigInt(offset!), toBytes(text + "x".repeat(length! % 47)));
    }
    default:
      throw new TypeError(`there is no step ${step.do}`);
  }
}

async function carryOutFlag(at: edit.Place, inode: bigint, name: string): Promise<void> {
  // As chattr: of copy-on-write and compression, an inode has a wish about one at most.
  const flags = await flagsOf(at, inode);
  if ((flags & BigInt(INODE_COMPRESS)) !== 0n) throw new BtrfsError("kind", "it is compressed");
  const wanted = BigInt(name === "nodatacow" ? INODE_NODATACOW : INODE_NOCOMPRESS);
  const both = BigInt(INODE_NODATACOW | INODE_NOCOMPRESS);
  if (((flags | wanted) & both) === both) throw new BtrfsError("kind", "it has the other flag");
  return edit.setAttributes(at, inode, { flags: flags | wanted });
}

async function flagsOf({ tx, tree }: edit.Place, inode: bigint): Promise<bigint> {
  const data = await tx.get(tree, { objectid: inode, type: 1, offset: 0n });
  return new DataView(data!.buffer, data!.byteOffset).getBigUint64(64, true);
}

/** What an image has, by path. */
async function describe(path: string): Promise<Record<string, unknown>> {
  await using filesystem = await openFilesystem([await openFileDevice(path)]);
  const all: Record<string, unknown> = {};
  const add = async (inode: Inode, shown: string): Promise<void> => {
    const { mode, uid, gid, size, kind } = inode.stat;
    const attributes: Record<string, string> = {};
    // The tools that make filesystems differ on directories.
    const nbytes = kind === "directory" ? 0n : inode.stat.nbytes;
    for (const { name, value } of await inode.xattrs())
      attributes[Buffer.from(name).toString()] = Buffer.from(value).toString("hex");
    // The kernel lets a new subvolume have the flag later, when it reads the attribute.
    const isCompressed = inode.number === FIRST_FREE_OBJECTID && attributes[COMPRESSION] !== undefined;
    const flags = inode.stat.flags | (isCompressed ? BigInt(INODE_COMPRESS) : 0n);
    const extents: unknown[] = [];
    if (kind === "file") {
      for await (const batch of inode.openFile().extents()) {
        for (const extent of batch) {
          const numBytes = extent.type === FILE_EXTENT_INLINE ? 0n : extent.numBytes;
          extents.push([extent.fileOffset, extent.type, extent.compression, extent.ramBytes, numBytes].join(" "));
        }
      }
    }
    all[shown] = { kind, mode: mode.toString(8), uid, gid, flags, size, nbytes, attributes, extents };
    if (kind !== "directory") return;
    for await (const batch of inode.readDirectory())
      for (const entry of batch) await add(await inode.enter(entry), join(shown, Buffer.from(entry.name).toString()));
  };
  await add(await filesystem.lookup("/"), ".");
  return all;
}

describeKernel("what directories hand down, and properties", () => {
  const seeds = Array.from({ length: Number(process.env.BTRKIT_SEEDS ?? 4) }, (_, index) => index + 1);
  test.each(seeds)("are in an image as the kernel has them: seed %i", async (seed) => {
    const steps = makeSteps(seed);
    await using filesystem = await TestFilesystem.make();
    const expected = await byKernel(steps, filesystem);
    await filesystem.unmount();
    await using image = new WrittenImage(256);
    await image.open((store) => makeFilesystem(store));
    const taken = await byBtrkit(steps, image, [1, 3, 100][seed % 3]!);
    const outcomes = (all: readonly boolean[]) => steps.map((step, n) => [JSON.stringify(step), all[n]].join(" "));
    expect(outcomes(taken)).toEqual(outcomes(expected));
    expect(await describe(image.path)).toEqual(await describe(filesystem.images[0]!));
    await image.check();
  });
});
