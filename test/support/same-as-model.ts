import { expect } from "vitest";
import { equalBytes } from "../../src/bytes/bytes.ts";
import type { ByteSource } from "../../src/device/source.ts";
import { openFilesystem } from "../../src/fs/filesystem.ts";
import type { Inode } from "../../src/fs/inode.ts";
import type { ImageModel, ModelDirectory, ModelFile } from "./image-model.ts";

/**
 * The image, opened anew, holds what the model holds: names, content, attributes, subvolumes.
 *
 * @param tolerated Warnings that may be.
 */
export async function expectSameAsModel(
  sources: ByteSource | readonly ByteSource[],
  model: ImageModel,
  tolerated?: RegExp,
): Promise<void> {
  const warnings: string[] = [];
  const onEvent = (event: unknown): void => {
    const text = JSON.stringify(event, (_, value) => (typeof value === "bigint" ? `${value}` : value));
    if (tolerated?.test(text) !== true) warnings.push(text);
  };
  const filesystem = await openFilesystem("read" in sources ? [sources] : sources, { onEvent });
  const listed = await filesystem.subvolumes();
  expect(listed.map(({ id }) => id).sort()).toEqual([...model.subvolumes.keys()].sort());
  expect((await filesystem.defaultSubvolume()).info.id).toBe(model.defaultSubvolume);
  for (const { id, root, readOnly } of model.subvolumes.values()) {
    const subvolume = await filesystem.subvolume(id);
    if (subvolume.info.readOnly !== readOnly) expect.fail(`subvolume ${id}: read-only is ${!readOnly}`);
    const names = countNames(root, new Map());
    await compareDirectory(await subvolume.root(), root, `${id}`, names);
  }
  expect(warnings).toEqual([]);
}

/** How many names each file of a subvolume has. */
export function countNames(directory: ModelDirectory, names: Map<ModelFile, number>): Map<ModelFile, number> {
  for (const entry of directory.entries.values()) {
    if (entry.kind === "file") names.set(entry, (names.get(entry) ?? 0) + 1);
    else if (entry.kind === "directory") countNames(entry, names);
  }
  return names;
}

async function compareDirectory(
  directory: Inode,
  model: ModelDirectory,
  path: string,
  names: ReadonlyMap<ModelFile, number>,
): Promise<void> {
  const found: string[] = [];
  for await (const entries of directory.readDirectory()) {
    for (const entry of entries) {
      const name = text(entry.name);
      found.push(name);
      const expected = model.entries.get(name);
      const where = `${path}/${name}`;
      if (expected === undefined) expect.fail(`${where} should not be there`);
      if (expected.kind === "subvolume") {
        if (entry.subvolume !== expected.id) expect.fail(`${where} is ${entry.subvolume}, expected ${expected.id}`);
        continue;
      }
      const inode = await directory.enter(entry);
      if (expected.kind === "placeholder") expect(inode.isPlaceholder).toBe(true);
      else if (expected.kind === "directory") await compareDirectory(inode, expected, where, names);
      else if (expected.kind === "symlink") expect(text(await inode.readSymlink())).toBe(expected.target);
      else await compareFile(inode, expected, where, names.get(expected)!);
    }
  }
  if (found.length !== model.entries.size) expect(found.sort()).toEqual([...model.entries.keys()].sort());
}

async function compareFile(inode: Inode, expected: ModelFile, where: string, names: number): Promise<void> {
  const content = new Uint8Array(Number(inode.stat.size));
  await inode.openFile().read(0n, content);
  if (!equalBytes(content, expected.content)) expect.fail(`${where}: ${differs(content, expected.content)}`);
  const { mode, nlink } = inode.stat;
  if ((mode & 0o7777) !== expected.mode || nlink !== names) {
    expect.fail(`${where}: mode ${mode.toString(8)}, ${nlink} names; expected ${expected.mode.toString(8)}, ${names}`);
  }
  const xattrs = await inode.xattrs();
  const same =
    xattrs.length === expected.xattrs.size &&
    xattrs.every(({ name, value }) => expected.xattrs.get(text(name)) === text(value));
  if (!same) expect(new Map(xattrs.map(({ name, value }) => [text(name), text(value)]))).toEqual(expected.xattrs);
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function differs(a: Uint8Array, b: Uint8Array): string {
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return `${a.byteLength} bytes, expected ${b.byteLength}; first difference at ${at}`;
}
