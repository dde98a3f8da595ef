import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { equalBytes } from "../../src/bytes/bytes.ts";
import type { ByteSource } from "../../src/device/source.ts";
import { openFilesystem } from "../../src/fs/filesystem.ts";
import type { Inode } from "../../src/fs/inode.ts";
import type { ImageModel, ModelDirectory } from "./image-model.ts";

/** The image, opened anew, holds what the model holds: names, content, attributes, subvolumes. */
export async function expectSameAsModel(source: ByteSource, model: ImageModel): Promise<void> {
  const warnings: string[] = [];
  const filesystem = await openFilesystem([source], { onEvent: (event) => warnings.push(JSON.stringify(event)) });
  const listed = await filesystem.subvolumes();
  expect(listed.map(({ id }) => id).sort()).toEqual([...model.subvolumes.keys()].sort());
  for (const { id, root, readOnly } of model.subvolumes.values()) {
    const subvolume = await filesystem.subvolume(id);
    expect(subvolume.info.readOnly).toBe(readOnly);
    await compareDirectory(await subvolume.root(), root, `${id}`);
  }
  expect(warnings).toEqual([]);
}

async function compareDirectory(directory: Inode, model: ModelDirectory, path: string): Promise<void> {
  const found: string[] = [];
  for await (const entries of directory.readDirectory()) {
    for (const entry of entries) {
      const name = new TextDecoder().decode(entry.name);
      found.push(name);
      const expected = model.entries.get(name);
      const where = `${path}/${name}`;
      if (expected === undefined) expect.fail(`${where} should not be there`);
      if (expected.kind === "subvolume") {
        expect(`${where} ${entry.subvolume}`).toBe(`${where} ${expected.id}`);
        continue;
      }
      const inode = await directory.enter(entry);
      if (expected.kind === "placeholder") expect(inode.isPlaceholder).toBe(true);
      else if (expected.kind === "directory") await compareDirectory(inode, expected, where);
      else if (expected.kind === "symlink")
        expect(new TextDecoder().decode(await inode.readSymlink())).toBe(expected.target);
      else {
        const content = new Uint8Array(Number(inode.stat.size));
        await inode.openFile().read(0n, content);
        if (!equalBytes(content, expected.content)) expect.fail(`${where}: ${differs(content, expected.content)}`);
        const xattrs = (await inode.xattrs()).map(({ name, value }) => [text(name), text(value)] as const);
        expect(new Map(xattrs)).toEqual(expected.xattrs);
      }
    }
  }
  expect(found.sort()).toEqual([...model.entries.keys()].sort());
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function differs(a: Uint8Array, b: Uint8Array): string {
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return `${a.byteLength} bytes, expected ${b.byteLength}; first difference at ${at}`;
}

/** The mounted filesystem holds what the model holds, from its top-level subvolume on. */
export async function expectMountedSameAsModel(directory: string, model: ImageModel): Promise<void> {
  compareMounted(directory, model, model.subvolumes.get(5n)!.root);
}

function compareMounted(directory: string, model: ImageModel, expected: ModelDirectory): void {
  expect(readdirSync(directory).sort()).toEqual([...expected.entries.keys()].sort());
  for (const [name, entry] of expected.entries) {
    const path = join(directory, name);
    if (entry.kind === "directory") compareMounted(path, model, entry);
    else if (entry.kind === "subvolume") compareMounted(path, model, model.subvolumes.get(entry.id)!.root);
    else if (entry.kind === "placeholder") expect(readdirSync(path)).toEqual([]);
    else if (entry.kind === "symlink") expect(readlinkSync(path)).toBe(entry.target);
    else {
      const content = readFileSync(path);
      if (!equalBytes(content, entry.content)) expect.fail(`${path}: ${differs(content, entry.content)}`);
    }
  }
}
