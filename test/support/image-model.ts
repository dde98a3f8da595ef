import { FS_TREE_OBJECTID } from "../../src/format/objectid.ts";

/** A file or a directory as it should be. */
export interface ModelFile {
  readonly kind: "file";
  /** Replaced, never changed: snapshots share it. */
  content: Uint8Array;
  /** Permissions. */
  mode: number;
  /** Without checksums, as `chattr +C` makes a file. */
  readonly isPlain: boolean;
  readonly xattrs: Map<string, string>;
}
export interface ModelSymlink {
  readonly kind: "symlink";
  readonly target: string;
}
export interface ModelDirectory {
  readonly kind: "directory";
  readonly entries: Map<string, ModelEntry>;
}
/** Where a subvolume lies. */
export interface ModelSubvolumeEntry {
  readonly kind: "subvolume";
  readonly id: bigint;
}
/** What a snapshot has in place of a nested subvolume. */
export interface ModelPlaceholder {
  readonly kind: "placeholder";
}
export type ModelEntry = ModelFile | ModelSymlink | ModelDirectory | ModelSubvolumeEntry | ModelPlaceholder;

export interface ModelSubvolume {
  readonly id: bigint;
  readonly root: ModelDirectory;
  readOnly: boolean;
}

/** Where a subvolume lies: in which other, at which path of it. */
export interface ModelPlace {
  readonly id: bigint;
  readonly above: bigint;
  readonly path: readonly string[];
  readonly directory: ModelDirectory;
  readonly name: string;
}

/** A filesystem in memory: what an image should hold. */
export class ImageModel {
  readonly subvolumes = new Map<bigint, ModelSubvolume>();
  /** What is mounted when nothing is said. */
  defaultSubvolume = FS_TREE_OBJECTID;

  constructor() {
    this.add(FS_TREE_OBJECTID);
  }

  /** Another one that holds the same, to go back to. */
  copy(): ImageModel {
    const model = new ImageModel();
    model.defaultSubvolume = this.defaultSubvolume;
    for (const { id, root, readOnly } of this.subvolumes.values()) {
      model.subvolumes.set(id, { id, root: copyOf(root, new Map(), true) as ModelDirectory, readOnly });
    }
    return model;
  }

  /** Bytes of all files, each as often as a subvolume has it. */
  get bytes(): number {
    let sum = 0;
    for (const id of this.subvolumes.keys()) for (const { file } of this.files(id)) sum += file.content.byteLength;
    return sum;
  }

  add(id: bigint): ModelSubvolume {
    const subvolume: ModelSubvolume = { id, root: { kind: "directory", entries: new Map() }, readOnly: false };
    this.subvolumes.set(id, subvolume);
    return subvolume;
  }

  /** A snapshot: nested subvolumes are empty directories in it. */
  snapshot(source: bigint, id: bigint, readOnly: boolean): void {
    const root = copyOf(this.subvolumes.get(source)!.root, new Map()) as ModelDirectory;
    this.subvolumes.set(id, { id, root, readOnly });
  }

  /** Every directory of a subvolume, with its path inside of it. */
  directories(id: bigint): { path: string[]; directory: ModelDirectory }[] {
    const found: { path: string[]; directory: ModelDirectory }[] = [];
    const visit = (directory: ModelDirectory, path: string[]): void => {
      found.push({ path, directory });
      for (const [name, entry] of directory.entries) if (entry.kind === "directory") visit(entry, [...path, name]);
    };
    visit(this.subvolumes.get(id)!.root, []);
    return found;
  }

  /** Where each subvolume lies but the top level. */
  places(): ModelPlace[] {
    return [...this.subvolumes.keys()].flatMap((above) =>
      this.directories(above).flatMap(({ path, directory }) =>
        [...directory.entries].flatMap(([name, entry]) =>
          entry.kind === "subvolume" ? [{ id: entry.id, above, path: [...path, name], directory, name }] : [],
        ),
      ),
    );
  }

  /** The subvolumes that may be deleted: none lies in them, they are not the default, and not in a read-only one. */
  deletable(): ModelPlace[] {
    const places = this.places();
    const holders = new Set(places.map(({ above }) => above));
    return places.filter(
      ({ id, above }) => !holders.has(id) && id !== this.defaultSubvolume && !this.subvolumes.get(above)!.readOnly,
    );
  }

  /** Every name of a file of a subvolume; a file with two names comes twice. */
  files(id: bigint): { path: string[]; parent: ModelDirectory; name: string; file: ModelFile }[] {
    return this.directories(id).flatMap(({ path, directory }) =>
      [...directory.entries].flatMap(([name, entry]) =>
        entry.kind === "file" ? [{ path: [...path, name], parent: directory, name, file: entry }] : [],
      ),
    );
  }
}

/** A file with two names stays one file. */
function copyOf(entry: ModelEntry, files: Map<ModelFile, ModelFile>, withSubvolumes = false): ModelEntry {
  if (entry.kind === "symlink" || entry.kind === "placeholder") return entry;
  if (entry.kind === "subvolume") return withSubvolumes ? entry : { kind: "placeholder" };
  if (entry.kind === "file") {
    let copy = files.get(entry);
    if (copy === undefined) {
      copy = { ...entry, xattrs: new Map(entry.xattrs) };
      files.set(entry, copy);
    }
    return copy;
  }
  return {
    kind: "directory",
    entries: new Map([...entry.entries].map(([name, child]) => [name, copyOf(child, files, withSubvolumes)])),
  };
}
