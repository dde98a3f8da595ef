import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { displayName } from "../src/bytes/display.ts";
import { MemoryDevice } from "../src/device/memory.ts";
import { type Filesystem, openFilesystem } from "../src/fs/filesystem.ts";
import { walk } from "../src/fs/walk.ts";

// No kernel with 4 KiB pages reads these, so the checksums of the sources have to do.
const directory = join(import.meta.dirname, "fixtures/sectors");

function expected(): Record<string, string> {
  const lines = readFileSync(join(directory, "contents.manifest"), "utf8").split("\n");
  const contents: Record<string, string> = {};
  for (const line of lines) {
    const [path, size, third] = line.split(" ");
    if (line === "" || path === "#") continue;
    contents[path!] = size === "->" ? `-> ${third}` : `${size} ${third}`;
  }
  return contents;
}

/** Path to size and sha256, or to the target of a symlink. */
async function contentsOf(filesystem: Filesystem, top: string): Promise<Record<string, string>> {
  const contents: Record<string, string> = {};
  const root = await filesystem.lookup(top);
  for await (const { directory, entries } of walk(root)) {
    for (const entry of entries) {
      const inode = await directory.enter(entry);
      const path = displayName(inode.path!).slice(top === "" ? 0 : top.length + 1);
      if (inode.kind === "symlink") contents[path] = `-> ${displayName(await inode.readSymlink())}`;
      if (inode.kind !== "file") continue;
      const hash = createHash("sha256");
      for await (const chunk of inode.openFile().chunks({ chunkBytes: 100_000 })) hash.update(chunk);
      contents[path] = `${inode.stat.size} ${hash.digest("hex")}`;
    }
  }
  return contents;
}

test.each([
  { name: "sector8k-lzo", sectorSize: 8192 },
  { name: "sector16k-lzo", sectorSize: 16384 },
  { name: "sector16k-zlib", sectorSize: 16384 },
  { name: "sector64k-lzo", sectorSize: 65536 },
  { name: "sector64k-zstd", sectorSize: 65536 },
  { name: "squota-lzo", sectorSize: 4096, top: "src" },
])("$name holds what went in", async ({ name, sectorSize, top = "" }) => {
  const image = gunzipSync(readFileSync(join(directory, `${name}.gz`)));
  const events: unknown[] = [];
  const filesystem = await openFilesystem([new MemoryDevice(image)], { onEvent: (event) => events.push(event) });
  expect(filesystem.volume.sectorSize).toBe(sectorSize);
  expect(await contentsOf(filesystem, top)).toEqual(expected());
  expect(events).toEqual([]);
  await filesystem.close();
});
