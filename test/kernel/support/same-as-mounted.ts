import { createHash } from "node:crypto";
import { expect } from "vitest";
import { toBytes } from "../../../src/bytes/bytes.ts";
import type { ImageModel, ModelDirectory, ModelFile } from "../../support/image-model.ts";
import { countNames } from "../../support/same-as-model.ts";
import type { TreeEntry } from "../../support.ts";
import { treeOf } from "./tree.ts";

type Fields = Pick<TreeEntry, "type" | "mode" | "size" | "sha256" | "target" | "nlink" | "xattrs">;

/** The mounted filesystem holds what the model holds, from its top-level subvolume on. */
export async function expectMountedSameAsModel(directory: string, model: ImageModel): Promise<void> {
  const expected = new Map<string, string>();
  addDirectory(expected, model, model.subvolumes.get(5n)!.root, "", new Map());
  const found = new Map<string, string>();
  for (const entry of await treeOf(directory)) if (entry.path !== "") found.set(entry.path, described(entry));
  const differences = [...new Set([...expected.keys(), ...found.keys()])]
    .filter((path) => expected.get(path) !== found.get(path))
    .map((path) => `${path}\n  is       ${found.get(path)}\n  expected ${expected.get(path)}`);
  if (differences.length > 0) expect.fail(`${differences.length} differ\n${differences.slice(0, 5).join("\n")}`);
}

function addDirectory(
  all: Map<string, string>,
  model: ImageModel,
  directory: ModelDirectory,
  path: string,
  outer: ReadonlyMap<ModelFile, number>,
): void {
  // Each subvolume counts names for itself.
  const names = outer.size === 0 ? countNames(directory, new Map()) : outer;
  for (const [name, entry] of directory.entries) {
    const below = path === "" ? name : `${path}/${name}`;
    if (entry.kind === "directory") {
      all.set(below, described({ type: "dir" }));
      addDirectory(all, model, entry, below, names);
    } else if (entry.kind === "subvolume") {
      all.set(below, described({ type: "dir" }));
      const { root } = model.subvolumes.get(entry.id)!;
      addDirectory(all, model, root, below, countNames(root, new Map()));
    } else if (entry.kind === "placeholder") all.set(below, described({ type: "dir" }));
    else if (entry.kind === "symlink") all.set(below, described({ type: "symlink", target: entry.target }));
    else all.set(below, described(fieldsOf(entry, names.get(entry)!)));
  }
}

function fieldsOf({ mode, content, xattrs }: ModelFile, names: number): Partial<Fields> {
  const values = [...xattrs].map(([name, value]) => [name, Buffer.from(toBytes(value)).toString("hex")] as const);
  return {
    type: "file",
    mode,
    size: content.byteLength,
    sha256: digest(content),
    nlink: names,
    xattrs: Object.fromEntries(values),
  };
}

function described({ type, mode, size, sha256, target, nlink = 1, xattrs = {} }: Partial<Fields>): string {
  const values = Object.entries(xattrs).sort(([a], [b]) => (a < b ? -1 : 1));
  if (type === "file") return JSON.stringify({ type, mode, size, sha256, nlink, values });
  return JSON.stringify({ type, target });
}

const digests = new WeakMap<Uint8Array, string>();

function digest(content: Uint8Array): string {
  let known = digests.get(content);
  if (known === undefined) {
    known = createHash("sha256").update(content).digest("hex");
    digests.set(content, known);
  }
  return known;
}
