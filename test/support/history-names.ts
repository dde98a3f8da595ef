import { toBytes } from "../../src/bytes/bytes.ts";
import * as edit from "../../src/edit/index.ts";
import { collidingName, randomData } from "./history-data.ts";
import { inodeOf, pickDirectory, pickFile, type Step } from "./history-step.ts";
import type { ModelDirectory } from "./image-model.ts";

export async function directory(step: Step): Promise<void> {
  const { inode, directory: parent, path } = await pickDirectory(step);
  const name = step.newName();
  step.note([...path, name].join("/"));
  await edit.makeDirectory(step.at, inode, toBytes(name));
  parent.entries.set(name, { kind: "directory", entries: new Map() });
}

export async function symlink(step: Step): Promise<void> {
  const { inode, directory: parent } = await pickDirectory(step);
  const name = step.newName();
  const target = "to/".repeat(step.random.between(1, 600));
  await edit.makeSymlink(step.at, inode, toBytes(name), toBytes(target));
  parent.entries.set(name, { kind: "symlink", target });
}

/** A FIFO or a device that goes at once. */
export async function special(step: Step): Promise<void> {
  const { inode } = await pickDirectory(step);
  const name = toBytes(step.newName());
  const device = { kind: "char", major: 1, minor: 3 } as const;
  await edit.makeSpecial(step.at, inode, name, step.random.chance(50) ? { kind: "fifo" } : device);
  await edit.unlink(step.at, inode, name);
}

export async function link(step: Step): Promise<void> {
  const picked = await pickFile(step);
  if (picked === undefined) return;
  const to = await pickDirectory(step);
  const name = step.newName();
  await edit.link(step.at, picked.inode, to.inode, toBytes(name));
  to.directory.entries.set(name, picked.file);
}

/** So many names of one file in one directory that they need extended references; some with the same hash. */
export async function linkOften(step: Step): Promise<void> {
  const { random } = step;
  const picked = await pickFile(step);
  if (picked === undefined) return;
  const to = await pickDirectory(step);
  const base = step.newName().slice(0, 12);
  for (let count = random.between(10, 60); count > 0; count--) {
    const name = random.chance(20) ? collidingName(random, base, "") : `${base} ${"l".repeat(random.between(1, 180))}`;
    if (to.directory.entries.has(name)) continue;
    await edit.link(step.at, picked.inode, to.inode, toBytes(name));
    to.directory.entries.set(name, picked.file);
  }
}

export async function rename(step: Step): Promise<void> {
  const { at, random } = step;
  const picked = await pickFile(step);
  if (picked === undefined) return;
  const to = await pickDirectory(step);
  // Sometimes onto another file.
  const others = [...to.directory.entries].filter(([, entry]) => entry.kind === "file" && entry !== picked.file);
  const name = others.length > 0 && random.chance(30) ? random.pick(others)[0] : step.newName();
  step.note(`to ${[...to.path, name].join("/")}`);
  await edit.rename(at, picked.parent, toBytes(picked.name), to.inode, toBytes(name));
  picked.directory.entries.delete(picked.name);
  to.directory.entries.set(name, picked.file);
}

export async function renameDirectory(step: Step): Promise<void> {
  const { at, model, subvolume } = step;
  const all = model.directories(subvolume.id);
  const moved = step.random.pick(all);
  if (moved.path.length === 0) return;
  const into = step.random.pick(all);
  const isInside = moved.path.every((name, index) => into.path[index] === name);
  if (isInside) return;
  const above = all.find(({ path }) => path.length === moved.path.length - 1 && isPrefix(path, moved.path))!;
  const name = step.newName();
  step.note(`${moved.path.join("/")} to ${[...into.path, name].join("/")}`);
  const from = await inodeOf(at, above.path);
  await edit.rename(at, from, toBytes(moved.path.at(-1)!), await inodeOf(at, into.path), toBytes(name));
  above.directory.entries.delete(moved.path.at(-1)!);
  into.directory.entries.set(name, moved.directory);
}

function isPrefix(path: readonly string[], of: readonly string[]): boolean {
  return path.every((name, index) => of[index] === name);
}

export async function unlink(step: Step): Promise<void> {
  const picked = await pickFile(step);
  if (picked === undefined) return;
  await edit.unlink(step.at, picked.parent, toBytes(picked.name));
  picked.directory.entries.delete(picked.name);
}

export async function removeDirectory(step: Step): Promise<void> {
  const { at, model, subvolume } = step;
  for (const { path, directory } of model.directories(subvolume.id)) {
    for (const [name, entry] of directory.entries) {
      if (entry.kind !== "directory" || entry.entries.size > 0) continue;
      await edit.removeDirectory(at, await inodeOf(at, path), toBytes(name));
      directory.entries.delete(name);
      return;
    }
  }
}

export async function attributes(step: Step): Promise<void> {
  const picked = await pickFile(step);
  if (picked === undefined) return;
  const mode = step.random.between(0o400, 0o777);
  await edit.setAttributes(step.at, picked.inode, { mode, uid: 1000, mtime: 5n, otime: 7n });
  picked.file.mode = mode;
}

/** Of few names, some of them with the same hash. */
export async function xattr(step: Step): Promise<void> {
  const { random } = step;
  const picked = await pickFile(step);
  if (picked === undefined) return;
  const key = random.chance(40) ? collidingName(random, "user.", "") : `user.${random.between(0, 5)}`;
  const value = "x".repeat(random.between(0, random.chance(20) ? 300 : 60));
  await edit.setXattr(step.at, picked.inode, key, toBytes(value));
  picked.file.xattrs.set(key, value);
}

export async function removeXattr(step: Step): Promise<void> {
  const picked = await pickFile(step);
  const [key] = picked?.file.xattrs.keys() ?? [];
  if (picked === undefined || key === undefined) return;
  await edit.removeXattr(step.at, picked.inode, key);
  picked.file.xattrs.delete(key);
}

/** A directory of many small files, with data in the tree and attributes: the tree gets another level soon. */
export async function fill(step: Step): Promise<void> {
  const { at, random } = step;
  const { inode, directory: parent } = await pickDirectory(step);
  const name = step.newName();
  const made: ModelDirectory = { kind: "directory", entries: new Map() };
  const within = await edit.makeDirectory(at, inode, toBytes(name));
  parent.entries.set(name, made);
  for (let count = random.between(10, 80); count > 0; count--) {
    const file = random.chance(20) ? collidingName(random, "", `${count % 3}`) : `${count}`;
    if (made.entries.has(file)) continue;
    const content = randomData(random, random.between(0, 1800));
    const value = "v".repeat(random.between(0, 500));
    const created = await edit.createFile(at, within, toBytes(file), { mode: 0o644 });
    await edit.writeFile(at, created, 0n, content);
    await edit.setXattr(at, created, "user.fill", toBytes(value));
    const xattrs = new Map([["user.fill", value]]);
    made.entries.set(file, { kind: "file", content, mode: 0o644, isPlain: false, xattrs });
  }
}

/** Removes all files of one directory. */
export async function clear(step: Step): Promise<void> {
  const { inode, directory: cleared, path } = await pickDirectory(step);
  step.note(path.join("/"));
  for (const [name, entry] of [...cleared.entries]) {
    if (entry.kind !== "file" && entry.kind !== "symlink") continue;
    await edit.unlink(step.at, inode, toBytes(name));
    cleared.entries.delete(name);
  }
}
