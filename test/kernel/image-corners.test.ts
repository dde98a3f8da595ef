import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as edit from "../../src/edit/index.ts";
import { type MakeOptions, makeFilesystem } from "../../src/mkfs/mkfs.ts";
import type { Transaction } from "../../src/transaction/transaction.ts";
import { openWritableVolume, type WritableVolume } from "../../src/transaction/writable.ts";
import { extentDataRefHash } from "../../src/tree/hash.ts";
import { collidingOffsets } from "../support/colliding-refs.ts";
import { collidingName } from "../support/history-data.ts";
import { type ImageShape, shapeOf } from "../support/image-shape.ts";
import { describeKernel } from "./support/host.ts";
import { Random } from "./support/random.ts";
import { run } from "./support/run.ts";
import { noise } from "./support/volume-images.ts";
import { WrittenImage } from "./support/written.ts";

const TOP = 256n;
const EXTENT_TREE = 2n;
const FS_TREE = 5n;
const CHECKSUM_TREE = 7n;

const place = (tx: Transaction, tree = FS_TREE): edit.Place => ({ tx, tree, now: 1_700_000_000_000_000_000n });

/** Runs `change` on an image, and says what the image is made of then. Clean by `btrfs check` and for the kernel. */
async function changed(image: WrittenImage, change: (volume: WritableVolume) => Promise<void>): Promise<ImageShape> {
  const shape = await image.openAll(async (stores) => {
    await change(await openWritableVolume(stores));
    return shapeOf(stores);
  });
  await image.check();
  return shape;
}

async function made(sizeMiB: number, options: MakeOptions): Promise<WrittenImage> {
  const image = new WrittenImage(sizeMiB);
  await image.open((store) => makeFilesystem(store, options));
  return image;
}

// The parts of the format that need many of something: each test sees to it that they were there.
describeKernel("the corners of images", () => {
  test("references that do not fit into their extent's item: of data and of blocks, by tree and by address", async () => {
    await using image = await made(200, { nodeSize: 4096 });
    const files: bigint[] = [];
    const copies: bigint[] = [];
    const many = await changed(image, async (volume) => {
      await volume.transaction(async (tx) => {
        const at = place(tx);
        for (let index = 0; index < 60; index++) files.push(await edit.createFile(at, TOP, `file ${index}`));
        await edit.writeFile(at, files[0]!, 0n, noise(100_000, 1));
        for (const file of files.slice(1))
          await edit.cloneRange(at, file, 0n, { tree: FS_TREE, inode: files[0]!, offset: 0n }, 98_304n);
      });
      for (let index = 0; index < 30; index++) {
        await volume.transaction(async (tx) => {
          copies.push(await edit.snapshotSubvolume(place(tx), FS_TREE, TOP, `copy ${index}`));
        });
      }
      // The owner leaves its blocks to the copies, which then leave them too.
      for (const tree of [FS_TREE, ...copies.slice(0, 20)]) {
        await volume.transaction(async (tx) => {
          for (const file of files.slice(0, 50)) await edit.writeFile(place(tx, tree), file, 8192n, noise(4096, 2));
        });
      }
    });
    expect(many.items.EXTENT_DATA_REF).toBeGreaterThan(10);
    expect(many.items.SHARED_DATA_REF).toBeGreaterThan(10);
    expect(many.items.TREE_BLOCK_REF).toBeGreaterThan(10);
    expect(many.fullBackrefs).toBeGreaterThan(5);
    const few = await changed(image, async (volume) => {
      for (const id of copies.slice(0, 25))
        await volume.transaction((tx) => edit.deleteSubvolume(place(tx), id, { now: true }));
      await volume.transaction(async (tx) => {
        for (let index = 0; index < 55; index++) await edit.unlink(place(tx), TOP, `file ${index}`);
      });
    });
    expect(few.items.EXTENT_DATA_REF ?? 0).toBeLessThan(many.items.EXTENT_DATA_REF!);
    await image.mounted(async (directory) => {
      await run("btrfs", ["subvolume", "delete", "-C", join(directory, "copy 27"), join(directory, "copy 29")]);
    });
    await image.check();
  });

  test("a snapshot that was changed where it was made, and that the kernel deletes when a later one shares its blocks", async () => {
    await using image = await made(200, { nodeSize: 4096 });
    await changed(image, async (volume) => {
      const first = await volume.transaction(async (tx) => {
        for (let index = 0; index < 200; index++) await edit.createFile(place(tx), TOP, `file ${index}`);
        const id = await edit.snapshotSubvolume(place(tx), FS_TREE, TOP, "first");
        for (let index = 0; index < 200; index++) {
          const file = await edit.createFile(place(tx, id), TOP, `later ${index}`);
          await edit.writeFile(place(tx, id), file, 0n, noise(5000, index));
        }
        return id;
      });
      await volume.transaction((tx) => edit.snapshotSubvolume(place(tx), first, TOP, "second"));
    });
    await image.mounted(async (directory) => {
      await run("btrfs", ["subvolume", "delete", "-C", join(directory, "first")]);
      await run("btrfs", ["subvolume", "sync", directory]);
    });
    await image.check();
  });

  test("references of data with one hash, removed and made again in between", async () => {
    await using image = await made(128, { nodeSize: 4096 });
    await image.openAll(async (stores) => {
      const volume = await openWritableVolume(stores);
      const inode = await volume.transaction(async (tx) => {
        const file = await edit.createFile(place(tx), TOP, "file");
        await edit.writeFile(place(tx), file, 0n, noise(8192, 1));
        return file;
      });
      const offsets = collidingOffsets(FS_TREE, inode, 24);
      expect(new Set(offsets.map((offset) => extentDataRefHash(FS_TREE, inode, offset))).size).toBe(1);
      const clone = (...indexes: number[]): Promise<void> =>
        volume.transaction(async (tx) => {
          const source = { tree: FS_TREE, inode, offset: 0n };
          for (const index of indexes) await edit.cloneRange(place(tx), inode, offsets[index]!, source, 8192n);
        });
      const punch = (...indexes: number[]): Promise<void> =>
        volume.transaction(async (tx) => {
          for (const at of indexes) await edit.punchHole(place(tx), inode, offsets[at]!, offsets[at]! + 8192n);
        });
      await clone(...Array.from(offsets.keys()).slice(1));
      await image.check(["original"]);
      for (const index of [3, 9, 10, 1, 20]) await punch(index);
      await image.check(["original"]);
      await clone(9, 3, 10);
      // One more of a reference that lies behind a gap.
      await volume.transaction((tx) => edit.writeFile(place(tx), inode, offsets[23]! + 4096n, noise(4096, 2)));
      await image.check();
      for (const index of [23, 22, 21, 9, 3, 2]) await punch(index);
      await image.check(["original"]);
      await volume.transaction((tx) => edit.unlink(place(tx), TOP, "file"));
    });
    await image.check();
    await image.mounted(async () => {});
  });

  test("bitmaps of free space, that the kernel made", async () => {
    await using image = new WrittenImage(300);
    await image.make(["--nodesize", "4096"]);
    await image.mounted(async (directory) => {
      for (let file = 0; file < 800; file++) writeFileSync(join(directory, `${file}`), noise(8192, file));
      await run("sync", ["-f", directory]);
      for (let file = 0; file < 800; file += 2) execFileSync("rm", [join(directory, `${file}`)]);
    });
    const before = await image.openAll(shapeOf);
    expect(before.items.FREE_SPACE_BITMAP).toBeGreaterThan(0);
    const random = new Random(77);
    const after = await changed(image, async (volume) => {
      for (let transaction = 0; transaction < 12; transaction++) {
        await volume.transaction(async (tx) => {
          const at = place(tx);
          for (let file = 1; file < 30; file += 2) await edit.unlink(at, TOP, `${transaction * 60 + file}`);
          const inode = await edit.createFile(at, TOP, `long ${transaction}`);
          await edit.writeFile(at, inode, 0n, noise(random.between(100_000, 3_000_000), transaction));
          if (transaction % 3 === 2) await edit.unlink(at, TOP, `long ${transaction - 1}`);
        });
        await image.check(["original"]);
      }
    });
    expect(after.items.FREE_SPACE_BITMAP).toBeGreaterThan(0);
    await image.mounted(async (directory) => writeFileSync(join(directory, "by the kernel"), noise(5_000_000, 5)));
    await image.check();
  });

  test("trees of three levels, extent tree and checksums among them, grown and shrunk again", async () => {
    await using image = await made(400, { nodeSize: 4096, checksum: "sha256" });
    const directories: bigint[] = [];
    const large = await changed(image, async (volume) => {
      for (let group = 0; group < 13; group++) {
        await volume.transaction(async (tx) => {
          const at = place(tx);
          const directory = await edit.makeDirectory(at, TOP, `directory ${group}`);
          directories.push(directory);
          for (let index = 0; index < 520; index++) {
            const inode = await edit.createFile(at, directory, `file ${index}`);
            await edit.writeFile(at, inode, 0n, noise(12_288, index), { maxInline: 0 });
          }
        });
      }
    });
    expect(large.levels.get(FS_TREE)).toBeGreaterThanOrEqual(3);
    expect(large.levels.get(EXTENT_TREE)).toBeGreaterThanOrEqual(3);
    expect(large.levels.get(CHECKSUM_TREE)).toBeGreaterThanOrEqual(3);
    const small = await changed(image, async (volume) => {
      for (const [group, directory] of directories.entries()) {
        await volume.transaction(async (tx) => {
          for (let index = 0; index < 520; index++) {
            if (group === 12 && index % 50 === 0) continue;
            await edit.unlink(place(tx), directory, `file ${(index * 379) % 520}`);
          }
        });
      }
    });
    expect(small.levels.get(FS_TREE)).toBeLessThan(large.levels.get(FS_TREE)!);
    expect(small.items.EXTENT_DATA).toBe(11);
    await image.mounted(async () => {});
  });

  test("names, attributes and references with one hash, and files with more names than fit into one item", async () => {
    await using image = await made(128, { nodeSize: 4096 });
    const random = new Random(5);
    const names = new Set<string>();
    while (names.size < 8) names.add(collidingName(random, "user.", ""));
    const shape = await changed(image, async (volume) => {
      await volume.transaction(async (tx) => {
        const at = place(tx);
        const inode = await edit.createFile(at, TOP, "file");
        for (const name of names) await edit.setXattr(at, inode, name, new Uint8Array(20).fill(7));
        for (const name of names) await edit.link(at, inode, TOP, name);
        for (let index = 0; index < 300; index++)
          await edit.link(at, inode, TOP, `${index} ${"n".repeat(index % 200)}`);
        // Where references by hash are already, those of the same hash share an item.
        const more = new Set<string>();
        while (more.size < 8) more.add(collidingName(random, "late ", ""));
        for (const name of more) await edit.link(at, inode, TOP, name);
        for (const name of [...more].slice(2, 5)) await edit.unlink(at, TOP, name);
        for (const name of [...names].slice(2, 5)) await edit.unlink(at, TOP, name);
        for (const name of [...names].slice(3, 7)) await edit.removeXattr(at, inode, name);
        for (let index = 0; index < 300; index += 3) await edit.unlink(at, TOP, `${index} ${"n".repeat(index % 200)}`);
      });
    });
    expect(shape.items.INODE_EXTREF).toBeGreaterThan(50);
    expect(shape.items.XATTR_ITEM).toBe(1);
    await image.mounted(async (directory) => {
      const [attribute] = names;
      const ran = await run("getfattr", ["-n", attribute!, "--only-values", join(directory, "file")]);
      expect(ran.stdout.byteLength).toBe(20);
      writeFileSync(join(directory, "beside"), "x");
    });
    await image.check();
  });

  /** With how much data is written to four files, four times: more than the first chunks have. */
  const PROFILES = [
    [1, ["-m", "single", "-d", "single"]],
    [2, ["-m", "raid1", "-d", "single"]],
    [2, ["-m", "raid1", "-d", "raid1"]],
    [3, ["-m", "raid1c3", "-d", "raid1c3"]],
    [1, ["--mixed"]],
    [2, ["--mixed", "-m", "raid1", "-d", "raid1"]],
  ] as const;

  test.each(PROFILES)("new chunks of data and metadata on %i devices made with %j", async (devices, options) => {
    await using image = new WrittenImage(250, devices);
    const isMixed = options[0] === "--mixed";
    await image.make(isMixed ? options : ["--nodesize", "4096", ...options]);
    const before = await image.openAll(shapeOf);
    const after = await changed(image, async (volume) => {
      for (let group = 0; group < 4; group++) {
        await volume.transaction(async (tx) => {
          const at = place(tx);
          for (let index = 0; index < 4; index++) {
            const inode = await edit.createFile(at, TOP, `large ${group} ${index}`);
            await edit.writeFile(at, inode, 0n, noise(6_000_000, index));
          }
          for (let index = 0; index < 1000; index++) {
            const inode = await edit.createFile(at, TOP, `small ${group} ${index}`);
            await edit.writeFile(at, inode, 0n, new Uint8Array(2000).fill(index));
          }
        });
      }
    });
    const sum = ({ chunks }: ImageShape, kind: string): number =>
      Object.entries(chunks).reduce((all, [name, number]) => (name.startsWith(kind) ? all + number : all), 0);
    for (const kind of isMixed ? ["mixed"] : ["data"]) expect(sum(after, kind)).toBeGreaterThan(sum(before, kind));
    await image.mounted(async (directory) => writeFileSync(join(directory, "by the kernel"), noise(1_000_000, 3)));
    await image.check();
  });

  test("a new system chunk, when the first has no room", async () => {
    await using image = await made(200, { nodeSize: 4096 });
    const shape = await changed(image, async (volume) => {
      await volume.transaction(async (tx) => {
        // Whoever holds all of it gives it back before the commit.
        const held: number[] = [];
        while (tx.space.newChunks.length === 0) held.push(await tx.space.allocateNode("system"));
        const at = place(tx);
        const inode = await edit.createFile(at, TOP, "large");
        await edit.writeFile(at, inode, 0n, noise(30_000_000, 1));
        for (const logical of held) await tx.space.free(logical, 4096, false);
      });
    });
    expect(shape.chunks["system dup"]).toBe(2);
    expect(shape.chunks["data single"]).toBeGreaterThan(1);
    await image.mounted(async () => {});
  });

  test("quotas are marked as not counted, and the kernel counts them again", async () => {
    await using image = new WrittenImage(256);
    await image.make(["--nodesize", "4096"]);
    await image.mounted(async (directory) => {
      await run("btrfs", ["quota", "enable", directory]);
      await run("btrfs", ["subvolume", "create", join(directory, "subvolume")]);
      writeFileSync(join(directory, "subvolume", "file"), noise(1_000_000, 1));
      await run("btrfs", ["quota", "rescan", "-w", directory]);
    });
    await image.openAll(async (stores) => {
      const volume = await openWritableVolume(stores);
      await volume.transaction(async (tx) => {
        const inode = await edit.createFile(place(tx), TOP, "new");
        await edit.writeFile(place(tx), inode, 0n, noise(500_000, 2));
        await edit.snapshotSubvolume(place(tx), 256n, TOP, "snapshot");
      });
    });
    const status = async (): Promise<string> =>
      (await run("btrfs", ["inspect-internal", "dump-tree", "-t", "quota", image.path])).stdout.toString();
    await run("btrfs", ["check", "--check-data-csum", image.path]);
    expect(await status()).toMatch(/flags .*INCONSISTENT/);
    await image.mounted(async (directory) => {
      await run("btrfs", ["quota", "rescan", "-w", directory]);
      const shown = (await run("btrfs", ["qgroup", "show", "--raw", directory])).stdout.toString();
      expect(shown).toMatch(/^0\/256\s+\d{7}/m);
    });
    expect(await status()).not.toMatch(/flags .*INCONSISTENT/);
    await image.check();
  });

  test("a read-only snapshot of a top level that no kernel has mounted yet stays read-only", async () => {
    await using image = new WrittenImage(128);
    await image.make([]);
    await changed(image, async (volume) => {
      await volume.transaction(async (tx) => {
        await edit.snapshotSubvolume(place(tx), FS_TREE, TOP, "snapshot", { readOnly: true });
      });
    });
    await image.mounted(async (directory) => {
      const shown = await run("btrfs", ["property", "get", "-ts", join(directory, "snapshot"), "ro"]);
      expect(shown.stdout.toString()).toContain("ro=true");
    });
  });
});
