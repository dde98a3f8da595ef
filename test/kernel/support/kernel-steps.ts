import {
  closeSync,
  ftruncateSync,
  linkSync,
  openSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { overwritten, randomData, randomLength, randomOffset, resized } from "../../support/history-data.ts";
import type { ImageModel, ModelDirectory, ModelFile, ModelSubvolume } from "../../support/image-model.ts";
import type { Random } from "./random.ts";
import { run } from "./run.ts";

const KINDS = {
  write: 6,
  overwrite: 8,
  truncate: 3,
  punch: 3,
  clone: 5,
  link: 2,
  rename: 2,
  unlink: 5,
  many: 2,
  snapshot: 2,
  deleteSubvolume: 1,
} as const;

/** Changes by the kernel of a mounted filesystem, and of the model that goes with it. */
export async function changeByKernel(
  mount: string,
  model: ImageModel,
  random: Random,
  steps: number,
  maxBytes: number,
): Promise<void> {
  for (let step = 0; step < steps; step++) {
    const subvolume = random.pick([...model.subvolumes.values()].filter(({ readOnly }) => !readOnly));
    await changeOnce({ mount, model, random, maxBytes, subvolume, name: `kernel-${random.word().toString(36)}` });
  }
}

interface Work {
  readonly mount: string;
  readonly model: ImageModel;
  readonly random: Random;
  readonly maxBytes: number;
  readonly subvolume: ModelSubvolume;
  readonly name: string;
}

async function changeOnce(work: Work): Promise<void> {
  const { model, random, maxBytes, subvolume, name } = work;
  const base = mountedPath(work, subvolume.id);
  const kind = random.weighted(KINDS);
  const { path: folder, directory } = random.pick(model.directories(subvolume.id));
  const at = join(base, ...folder);
  if (kind === "write") return put(directory, at, name, randomData(random, randomLength(random, maxBytes)));
  if (kind === "many") {
    for (let file = 0; file < 60; file++)
      put(directory, at, `${name}-${file}`, randomData(random, random.between(0, 9000)));
    for (let file = 0; file < 60; file += 3) {
      unlinkSync(join(at, `${name}-${file}`));
      directory.entries.delete(`${name}-${file}`);
    }
    return;
  }
  if (kind === "snapshot") return snapshot(work, directory, at);
  if (kind === "deleteSubvolume") return deleteSubvolume(work);
  const files = model.files(subvolume.id);
  if (files.length === 0) return;
  const { path, parent, name: old, file } = random.pick(files);
  const target = join(base, ...path);
  const size = file.content.byteLength;
  switch (kind) {
    case "overwrite":
      return overwrite(target, file, randomOffset(random, size), randomData(random, randomLength(random, maxBytes)));
    case "truncate": {
      const next = randomOffset(random, size + 10_000);
      withFile(target, (descriptor) => ftruncateSync(descriptor, next));
      file.content = resized(file.content, next);
      return;
    }
    case "punch": {
      const start = randomOffset(random, size);
      const length = randomLength(random, maxBytes);
      await run("fallocate", ["--punch-hole", "--offset", String(start), "--length", String(length), target]);
      file.content = file.content.slice().fill(0, start, Math.min(size, start + length));
      return;
    }
    case "clone":
      // The copy that cp makes has checksums, and the two kinds can't share extents.
      if (file.isPlain) return;
      await run("cp", ["--reflink=always", target, join(at, name)]);
      directory.entries.set(name, { ...file, mode: modeOf(join(at, name)), xattrs: new Map() });
      return;
    case "link":
      linkSync(target, join(at, name));
      directory.entries.set(name, file);
      return;
    case "rename":
      renameSync(target, join(at, name));
      parent.entries.delete(old);
      directory.entries.set(name, file);
      return;
    case "unlink":
      unlinkSync(target);
      parent.entries.delete(old);
  }
}

/** Where a subvolume is, below the mount of the top level. */
function mountedPath({ mount, model }: Pick<Work, "mount" | "model">, id: bigint): string {
  if (id === 5n) return mount;
  const place = model.places().find((other) => other.id === id)!;
  return join(mountedPath({ mount, model }, place.above), ...place.path);
}

function put(directory: ModelDirectory, at: string, name: string, content: Uint8Array): void {
  writeFileSync(join(at, name), content);
  directory.entries.set(name, {
    kind: "file",
    content,
    mode: modeOf(join(at, name)),
    isPlain: false,
    xattrs: new Map(),
  });
}

function modeOf(path: string): number {
  return statSync(path).mode & 0o7777;
}

function withFile(path: string, use: (descriptor: number) => void): void {
  const descriptor = openSync(path, "r+");
  try {
    use(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function overwrite(target: string, file: ModelFile, offset: number, data: Uint8Array): void {
  withFile(target, (descriptor) => writeSync(descriptor, data, 0, data.byteLength, offset));
  file.content = overwritten(file.content, offset, data);
}

async function snapshot({ mount, model, random, name }: Work, directory: ModelDirectory, at: string): Promise<void> {
  const source = random.pick([...model.subvolumes.keys()]);
  const readOnly = random.chance(50);
  const target = join(at, name);
  await run("btrfs", [
    "subvolume",
    "snapshot",
    ...(readOnly ? ["-r"] : []),
    mountedPath({ mount, model }, source),
    target,
  ]);
  const id = BigInt((await run("btrfs", ["inspect-internal", "rootid", target])).stdout.toString().trim());
  model.snapshot(source, id, readOnly);
  directory.entries.set(name, { kind: "subvolume", id });
}

async function deleteSubvolume({ mount, model, random }: Work): Promise<void> {
  const free = model.deletable();
  if (free.length === 0) return;
  const { id, directory, name } = random.pick(free);
  await run("btrfs", ["subvolume", "delete", mountedPath({ mount, model }, id)]);
  directory.entries.delete(name);
  model.subvolumes.delete(id);
}
