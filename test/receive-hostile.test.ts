import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { MemoryDevice } from "../src/device/memory.ts";
import * as edit from "../src/edit/index.ts";
import { openFilesystem } from "../src/fs/filesystem.ts";
import { openDirectoryHost } from "../src/linux/directory-host.ts";
import { makeFilesystem } from "../src/mkfs/mkfs.ts";
import { DirectoryTarget } from "../src/node/directory-target.ts";
import { NodeDirectoryHost } from "../src/node/node-directory-host.ts";
import { ImageTarget } from "../src/receive/image-target.ts";
import { receive } from "../src/receive/receive.ts";
import { openWritableVolume } from "../src/transaction/writable.ts";
import { describeHostileStreams, type HostilePlace } from "./contract/receive-target.ts";
import { treeOfImage } from "./support/tree-of-image.ts";

const base = mkdtempSync(join(tmpdir(), "btrkit-hostile-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));
let count = 0;

/** A plain directory `in`, and `outside` beside it. */
async function place(kind: "linux" | "node"): Promise<HostilePlace> {
  const top = join(base, String(count++));
  const [destination, outside] = [join(top, "in"), join(top, "outside")];
  mkdirSync(destination, { recursive: true });
  mkdirSync(outside);
  writeFileSync(join(outside, "victim"), "victim", { mode: 0o600 });
  const around = () => {
    const { mode, size, mtimeNs, ctimeNs, nlink } = lstatSync(join(outside, "victim"), { bigint: true });
    const names = [readdirSync(top).sort(), readdirSync(outside)];
    return { names, content: readFileSync(join(outside, "victim"), "utf8"), mode, size, mtimeNs, ctimeNs, nlink };
  };
  return {
    outside,
    around,
    receive: async (input) => {
      const opened =
        kind === "node" ? { host: new NodeDirectoryHost(destination), close() {} } : openDirectoryHost(destination);
      const target = await DirectoryTarget.open(opened.host, { path: destination });
      try {
        return await receive(input, target);
      } finally {
        target.close();
        opened.close();
      }
    },
  };
}

if (process.platform === "linux") {
  describeHostileStreams("hostile streams into a plain directory, as Linux can", () => place("linux"));
}
describeHostileStreams("hostile streams into a plain directory, by means of Node", () => place("node"));

/** An image with a directory and a subvolume in it that no stream was sent to, and `outside` on this machine. */
async function imagePlace(): Promise<HostilePlace> {
  const { outside, around } = await place("node");
  const store = new MemoryDevice(new Uint8Array(24 << 20));
  await makeFilesystem(store, { metadata: "single" });
  await using made = await openWritableVolume([store]);
  await made.transaction(async (tx) => {
    const at = { tx, tree: 5n, now: 1n };
    await edit.makeDirectory(at, 256n, "in");
    const directory = await edit.makeDirectory(at, 256n, "outside");
    await edit.writeFile(at, await edit.createFile(at, directory, "victim"), 0n, Buffer.from("victim"));
    const other = { ...at, tree: await edit.createSubvolume(at, 256n, "other") };
    await edit.writeFile(other, await edit.createFile(other, 256n, "victim"), 0n, Buffer.from("victim"));
  });
  const inImage = async () => {
    const filesystem = await openFilesystem([store]);
    const top = [];
    for await (const entries of (await filesystem.top()).readDirectory()) top.push(...entries);
    const trees = ["outside", "other"].map(async (name) => await treeOfImage(await filesystem.lookup(name)));
    return { top, trees: await Promise.all(trees) };
  };
  const before = await inImage();
  const directory = (await (await openFilesystem([store])).lookup("in")).number;
  return {
    outside,
    around,
    receive: async (input) => {
      await using volume = await openWritableVolume([store]);
      try {
        // Commits are many, so that what was done before the refusal is there.
        return await receive(input, new ImageTarget(volume, { directory, commitBytes: 1 }));
      } finally {
        expect(await inImage()).toEqual(before);
      }
    },
  };
}

describeHostileStreams("hostile streams into an image", imagePlace, { storesUnopened: true });
