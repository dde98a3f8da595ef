import { describe, expect, test } from "vitest";
import { concatBytes, viewOf } from "../src/bytes/bytes.ts";
import { OverlayDevice } from "../src/device/overlay.ts";
import { BtrfsError } from "../src/errors.ts";
import { EXTENT_DATA } from "../src/format/key-type.ts";
import { slotType } from "../src/format/node.ts";
import { Superblock } from "../src/format/superblock.ts";
import { readFileItem } from "../src/send/file-item.ts";
import { ImageSource, type SendOptions, send, sendBytes, sendCommands } from "../src/send/index.ts";
import { readStream } from "../src/stream/index.ts";
import { openVolume } from "../src/volume/open.ts";
import type { Volume } from "../src/volume/volume.ts";
import { rewriteSuperblock } from "./support/damage.ts";
import { packedVolume } from "./support/packed-volume.ts";
import { subvolumeIds } from "./support/subvolume-ids.ts";

// What the kernel's send can't do: subvolumes that are writable, files that are damaged; and the library's other ways to
// take a stream.

const NAME = "shared-zstd";
const open = (): Promise<Volume> => openVolume(packedVolume(NAME, "send"));

async function collect(volume: Volume, options: SendOptions): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  await send(new ImageSource(volume), options, { write: (chunk) => void chunks.push(chunk.slice()) });
  return concatBytes(chunks);
}

async function commandsIn(stream: Uint8Array): Promise<Record<string, unknown>[]> {
  const all: Record<string, unknown>[] = [];
  for await (const item of readStream(stream)) all.push({ ...item });
  return all;
}

describe("a writable subvolume", () => {
  test("is sent by force under a new uuid each time, and everything else is the same", async () => {
    await using volume = await open();
    const snapshot = (await subvolumeIds(volume)).get("live")!;
    const options: SendOptions = { snapshot, protocol: 2, force: true };
    const [one, two] = [
      await commandsIn(await collect(volume, options)),
      await commandsIn(await collect(volume, options)),
    ];
    const uuid = (commands: Record<string, unknown>[]) =>
      Buffer.from(commands.find(({ name }) => name === "subvol")!.uuid as Uint8Array).toString("hex");
    expect(uuid(one)).not.toBe(uuid(two));
    expect(uuid(one)).toMatch(/^.{12}4.{3}[89ab]/);
    const rest = (commands: Record<string, unknown>[]) =>
      commands.map(({ uuid: _, cloneUuid: __, ...others }) => others);
    expect(rest(one)).toEqual(rest(two));
    expect(one.length).toBeGreaterThan(20);
  });

  test("a read-only one that force is used on is sent as ever", async () => {
    await using volume = await open();
    const snapshot = (await subvolumeIds(volume)).get("s1")!;
    const options: SendOptions = { snapshot, protocol: 2 };
    expect(await collect(volume, { ...options, force: true })).toEqual(await collect(volume, options));
  });

  test("is refused by name while a log tree waits, of which read-only snapshots have nothing", async () => {
    const store = new OverlayDevice(packedVolume(NAME, "send")[0]!);
    await rewriteSuperblock(store, (data) => {
      const superblock = new Superblock(viewOf(data));
      superblock.logRoot = superblock.root;
    });
    await using volume = await openVolume([store]);
    await using without = await open();
    const ids = await subvolumeIds(volume);
    await expect(collect(volume, { snapshot: ids.get("live")!, protocol: 2, force: true })).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/log tree waits/),
    });
    const options: SendOptions = { snapshot: ids.get("s1")!, protocol: 2, force: true };
    expect(await collect(volume, options)).toEqual(await collect(without, options));
  });
});

describe("damaged files", () => {
  /** The image with a byte changed in each of the first stored extents of `s1`, in every copy. */
  async function damaged(count: number): Promise<Volume> {
    const [device] = packedVolume(NAME, "send");
    const store = new OverlayDevice(device!);
    const whole = await openVolume([device!]);
    const addresses = await extentsOf(whole, (await subvolumeIds(whole)).get("s1")!);
    const byte = new Uint8Array(1);
    for (const address of addresses.slice(0, count)) {
      for (const { physical } of whole.copiesOf(address, whole.sectorSize)) {
        await device!.read(physical, byte);
        await store.write(physical, Uint8Array.of(byte[0]! ^ 0x55));
      }
    }
    return openVolume([store]);
  }

  test("end a send with an error that says where", async () => {
    await using volume = await damaged(1);
    const snapshot = (await subvolumeIds(volume)).get("s1")!;
    await expect(collect(volume, { snapshot, protocol: 2, compressedData: true })).rejects.toMatchObject({
      code: "checksum",
      where: { path: expect.stringMatching(/./), inode: expect.any(BigInt), fileOffset: expect.any(BigInt) },
    });
  });

  test("are left out on request, before anything of them was sent, and listed", async () => {
    const whole = await open();
    const id = (await subvolumeIds(whole)).get("s1")!;
    const before = await commandsIn(await collect(whole, { snapshot: id, protocol: 2, compressedData: true }));
    await whole.close();
    await using volume = await damaged(2);
    const chunks: Uint8Array[] = [];
    const options: SendOptions = { snapshot: id, protocol: 2, compressedData: true, skipDamaged: true };
    const { leftOut } = await send(new ImageSource(volume), options, {
      write: (chunk) => void chunks.push(chunk.slice()),
    });
    expect(leftOut.length).toBeGreaterThan(0);
    for (const { error } of leftOut) expect(error).toBeInstanceOf(BtrfsError);
    const after = await commandsIn(concatBytes(chunks));
    const made = (commands: Record<string, unknown>[]) =>
      new Set(commands.filter(({ name }) => name === "mkfile").map(({ ino }) => Number(ino)));
    const missing = [...made(before)].filter((ino) => !made(after).has(ino));
    expect(missing.sort()).toEqual(leftOut.map(({ inode }) => inode).sort());
    const lost = new Set(leftOut.flatMap(({ paths }) => paths.map((path) => Buffer.from(path).toString("latin1"))));
    const paths = after.flatMap(({ path, pathTo, clonePath }) => [path, pathTo, clonePath]) as (
      | Uint8Array
      | undefined
    )[];
    for (const path of paths) if (path) expect(lost.has(Buffer.from(path).toString("latin1"))).toBe(false);
    expect(after.at(-1)!.name).toBe("end");
  });

  test("can't be left out against a parent", async () => {
    await using volume = await open();
    const ids = await subvolumeIds(volume);
    const options: SendOptions = { snapshot: ids.get("s2")!, parent: ids.get("s1")!, protocol: 2, skipDamaged: true };
    await expect(collect(volume, options)).rejects.toThrow(TypeError);
  });
});

describe("streams as iterables", () => {
  test("give the bytes that a sink gets, and their commands", async () => {
    await using volume = await open();
    const options: SendOptions = { snapshot: (await subvolumeIds(volume)).get("s1")!, protocol: 2 };
    const expected = await collect(volume, options);
    const chunks: Uint8Array[] = [];
    for await (const chunk of sendBytes(new ImageSource(volume), options)) chunks.push(chunk.slice());
    expect(concatBytes(chunks)).toEqual(expected);
    const names: string[] = [];
    for await (const { name } of sendCommands(new ImageSource(volume), options)) names.push(name);
    expect(names).toEqual((await commandsIn(expected)).slice(1).map(({ name }) => name));
  });

  test("are the same each time", async () => {
    await using volume = await open();
    const ids = await subvolumeIds(volume);
    for (const [to, parent] of [
      ["s2", undefined],
      ["s3", "s1"],
    ] as const) {
      const against = parent === undefined ? undefined : ids.get(parent)!;
      const options: SendOptions = { snapshot: ids.get(to)!, parent: against, protocol: 2, compressedData: true };
      const once = await collect(volume, options);
      expect(await collect(volume, options)).toEqual(once);
      await using again = await open();
      expect(await collect(again, options)).toEqual(once);
    }
  });

  test("leaving the loop ends the send, and errors come out of it", async () => {
    await using volume = await open();
    const ids = await subvolumeIds(volume);
    for await (const { name } of sendCommands(new ImageSource(volume), { snapshot: ids.get("s1")!, protocol: 2 })) {
      expect(name).toBe("subvol");
      break;
    }
    const refused = sendBytes(new ImageSource(volume), { snapshot: ids.get("live")!, protocol: 2 });
    await expect(refused.next()).rejects.toMatchObject({ code: "permission" });
  });

  test("only Linux 6.18 can be imitated", async () => {
    await using volume = await open();
    const options = { snapshot: (await subvolumeIds(volume)).get("s1")!, protocol: 2, kernelProfile: "5.10" };
    await expect(collect(volume, options as unknown as SendOptions)).rejects.toThrow("only 6.18 is known");
  });
});

/** Addresses of stored extents in a snapshot, in the order of its inodes. */
async function extentsOf(volume: Volume, id: bigint): Promise<number[]> {
  const found: number[] = [];
  for await (const { leaf, first, last } of (await volume.openTree(id)).leaves()) {
    for (let slot = first; slot < last; slot++) {
      if (slotType(leaf, slot) !== EXTENT_DATA) continue;
      const { type, diskBytenr } = readFileItem(leaf, slot, volume.sectorSize);
      if (type === 1 && diskBytenr !== 0) found.push(diskBytenr);
    }
  }
  return found;
}
