import { closeSync, copyFileSync, fsyncSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Filesystem } from "../../src/fs/filesystem.ts";
import { openFilesystem } from "../../src/fs/filesystem.ts";
import { openFileDevice } from "../../src/node/file-device.ts";
import type { VolumeEvent } from "../../src/volume/events.ts";
import type { VolumeOptions } from "../../src/volume/open.ts";
import { readSuperblock } from "../../src/volume/superblock.ts";
import { treeOfImage } from "../support/tree-of-image.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { describeKernel } from "./support/host.ts";
import { treeDifferences, treeOf } from "./support/tree.ts";

// What a filesystem was, and what it is about to be: commits that the superblock remembers, and a log that waits.

async function opened(image: string, options: VolumeOptions = {}): Promise<[Filesystem, VolumeEvent[]]> {
  const events: VolumeEvent[] = [];
  const device = await openFileDevice(image);
  return [await openFilesystem([device], { ...options, onEvent: (event) => events.push(event) }), events];
}

const topics = (events: readonly VolumeEvent[]) =>
  events.map((event) => (event.kind === "warning" ? event.topic : event.kind));

async function generationOf(image: string): Promise<number> {
  const device = await openFileDevice(image);
  const { superblock } = await readSuperblock(device);
  await device.close?.();
  return Number(superblock.generation);
}

describeKernel("an image as of another moment", () => {
  test("each commit that the superblock knows shows the files of its time", async () => {
    await using mounted = await TestFilesystem.make();
    const image = mounted.images[0]!;
    const contents = new Map<number, string[]>();
    const files: string[] = [];
    for (let commit = 0; commit < 6; commit++) {
      writeFileSync(join(mounted.directory, `file-${commit}`), `commit ${commit} `.repeat(2000));
      files.push(`file-${commit}`);
      await mounted.sync();
      contents.set(await generationOf(image), [...files]);
    }
    // As it is after the last of them: unmounting makes a commit of its own, which uses the oldest one's place.
    const copy = join(mounted.work, "copy");
    copyFileSync(image, copy);
    const newest = await generationOf(copy);
    let shown = 0;
    for (const [generation, names] of contents) {
      if (generation < newest - 3) {
        await expect(opened(copy, { rootGeneration: generation })).rejects.toMatchObject({ code: "missing" });
        continue;
      }
      const [filesystem, events] = await opened(copy, { rootGeneration: generation });
      expect(topics(events)).toEqual(generation === newest ? [] : ["old-root"]);
      const found = await treeOfImage(await filesystem.top());
      expect(found.flatMap(({ path }) => (path === "" ? [] : [path])).sort()).toEqual(names);
      for (const name of names) {
        const file = (await filesystem.lookup(name)).openFile();
        const content = new Uint8Array(Number(file.size));
        await file.read(0n, content);
        expect(Buffer.from(content).toString()).toBe(`commit ${name.slice(5)} `.repeat(2000));
      }
      await filesystem.close();
      shown++;
    }
    expect(shown).toBe(4);
  });

  test("with a log that waits, what was committed is shown, as the kernel shows it without replaying", async () => {
    await using mounted = await TestFilesystem.make();
    const put = (name: string, text: string) => writeFileSync(join(mounted.directory, name), text);
    put("committed", "committed ".repeat(3000));
    put("changed", "before");
    await mounted.sync();
    const generation = await generationOf(mounted.images[0]!);
    for (const [name, text] of [
      ["synced", "synced ".repeat(3000)],
      ["changed", "after!"],
    ] as const) {
      const fd = openSync(join(mounted.directory, name), "w");
      writeSync(fd, text);
      fsyncSync(fd);
      closeSync(fd);
    }
    const copy = join(mounted.work, "copy");
    copyFileSync(mounted.images[0]!, copy);
    expect(await generationOf(copy)).toBe(generation);
    await mounted.unmount();

    const [filesystem, events] = await opened(copy);
    expect(topics(events)).toEqual(["log-tree"]);
    const found = await treeOfImage(await filesystem.top());
    await filesystem.close();
    expect(found.map(({ path }) => path)).toEqual(["", "changed", "committed"]);
    await using unreplayed = await TestFilesystem.make({ images: [copy], mount: "ro,rescue=nologreplay" });
    const expected = await treeOf(unreplayed.directory, { holes: true, inodes: true });
    expect(treeDifferences(found, expected)).toEqual([]);

    await unreplayed.unmount();
    await unreplayed.mount("");
    await unreplayed.unmount();
    const [replayed, after] = await opened(copy);
    expect(topics(after)).toEqual([]);
    const now = (await treeOfImage(await replayed.top())).map(({ path }) => path);
    await replayed.close();
    expect(now).toEqual(["", "changed", "committed", "synced"]);
  });
});
