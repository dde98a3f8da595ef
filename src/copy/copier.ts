import * as edit from "../edit/index.ts";
import { isSubvolumeHere } from "../edit/placeholder.ts";
import { FT_DIR, FT_REG_FILE } from "../format/dir-item.ts";
import { INODE_ITEM } from "../format/key-type.ts";
import { FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import type { InodeKind } from "../fs/inode.ts";
import type { Batches } from "./batches.ts";
import { copyContent } from "./content.ts";
import type { CopyCounts, CopyOptions, CopyProblem } from "./options.ts";
import { SourceError, type SourceNode } from "./source.ts";
import { keepXattrs } from "./xattrs.ts";

/** A name in a directory of a subvolume. */
export interface CopyTarget {
  readonly tree: bigint;
  readonly directory: bigint;
  readonly name: Uint8Array;
}

/** A directory of a subvolume. */
export interface CopyDirectory {
  readonly tree: bigint;
  readonly inode: bigint;
}

/** What has been copied. */
interface Made {
  readonly tree: bigint;
  readonly inode: bigint;
}

/** Copies trees into an image. What can't be copied is told, and costs the one thing. */
export class Copier {
  readonly counts: CopyCounts = { files: 0, directories: 0, symlinks: 0, specials: 0, links: 0, bytes: 0, problems: 0 };
  readonly #batches: Batches;
  readonly #options: CopyOptions;
  /** Inodes with several names, by what the source says of them. */
  readonly #links = new Map<string, Made>();

  constructor(batches: Batches, options: CopyOptions) {
    this.#batches = batches;
    this.#options = options;
  }

  /**
   * Copies one thing, with all that is in it, to a name. Files that have the name already are overwritten where they
   * are, directories are gone into.
   *
   * @throws {BtrfsError} what ends the copy: no space, a read-only subvolume, damage of the image.
   */
  async copy(source: SourceNode, target: CopyTarget): Promise<void> {
    const { kind, nlink, identity } = source.stat;
    if (kind === "directory") return this.#copyDirectory(source, target);
    if (this.#options.preserve && nlink > 1 && (await this.#linkTo(this.#links.get(identity), source, target))) return;
    const made = kind === "file" ? await this.#copyFile(source, target) : await this.#copyOther(source, target);
    if (made === undefined) return;
    if (nlink > 1) this.#links.set(identity, made);
    await this.#batches.breathe(0);
    this.#options.onCopied?.(source.shown);
  }

  async #copyDirectory(source: SourceNode, target: CopyTarget): Promise<void> {
    if (!this.#options.recursive) return this.#problem(source, "it is a directory, and -r is not given");
    const there = await this.#there(target);
    if (there !== undefined && there.type !== FT_DIR) {
      return this.#problem(source, "the target has something else than a directory of its name");
    }
    const into = there === undefined ? await this.#makeDirectory(source, target) : await this.#enter(there, target);
    if (into === undefined) return this.#problem(source, "a subvolume lay at its target, of which there is no copy");
    await this.fill(source, into, there === undefined);
  }

  /** Copies all that is in a directory into one that is there. @throws {BtrfsError} as `copy`. */
  async fill(source: SourceNode, into: CopyDirectory, isNew = false): Promise<void> {
    if (!this.#options.recursive) return this.#problem(source, "it is a directory, and -r is not given");
    let names: readonly Uint8Array[] = [];
    try {
      names = await source.names();
    } catch (error) {
      this.#refused(source, error);
    }
    for (const name of names) {
      let child: SourceNode;
      try {
        child = await source.enter(name);
      } catch (error) {
        this.#refused(source, error, name);
        continue;
      }
      try {
        await this.copy(child, { tree: into.tree, directory: into.inode, name });
      } finally {
        child.close();
      }
    }
    await this.#keepAttributes(source, into, isNew);
    this.counts.directories++;
    await this.#batches.breathe(0);
    this.#options.onCopied?.(source.shown);
  }

  async #makeDirectory(source: SourceNode, { tree, directory, name }: CopyTarget): Promise<Made> {
    const at = await this.#batches.place(tree);
    return { tree, inode: await edit.makeDirectory(at, directory, name, this.#attributes(source)) };
  }

  async #enter({ location }: edit.NamedEntry, { tree, directory, name }: CopyTarget): Promise<Made | undefined> {
    if (location.type === INODE_ITEM) return { tree, inode: location.objectid };
    const isHere = await isSubvolumeHere(await this.#batches.place(tree), directory, name, location.objectid);
    return isHere ? { tree: location.objectid, inode: FIRST_FREE_OBJECTID } : undefined;
  }

  async #copyFile(source: SourceNode, target: CopyTarget): Promise<Made | undefined> {
    const there = await this.#there(target);
    const { tree, directory, name } = target;
    if (there?.type === FT_DIR) return this.#problem(source, "the target has a directory of its name");
    const own = source.inImage;
    const isSame = own?.tree === tree && there?.location.objectid === own.inode;
    if (isSame) return this.#problem(source, "it is the target itself");
    const existing = there?.type === FT_REG_FILE ? there.location.objectid : undefined;
    // What is no file gives way to one: nothing is written through a symbolic link, or into a device.
    const create = async (at: edit.Place): Promise<bigint> => {
      if (there !== undefined) await edit.unlink(at, directory, name);
      return edit.createFile(at, directory, name, this.#attributes(source));
    };
    const remove = (at: edit.Place): Promise<void> => edit.unlink(at, directory, name);
    let inode: bigint;
    try {
      inode = await copyContent(this.#batches, source, { tree, inode: existing }, this.#options, create, remove);
    } catch (error) {
      return this.#refused(source, error);
    }
    const made = { tree, inode };
    if (existing !== undefined) await edit.dropCapability(await this.#batches.place(tree), inode);
    await this.#keepAttributes(source, made, existing === undefined);
    if (!source.isUnchanged()) this.#problem(source, "it changed while it was read: the copy may be a mix", "changed");
    const { size } = source.stat;
    this.counts.files++;
    this.counts.bytes += Number(size);
    this.#options.onProgress?.(this.counts.bytes);
    await this.#batches.breathe(source.inImage === undefined ? Number(size) : 0);
    return made;
  }

  /** Symbolic links, devices, fifos and sockets. */
  async #copyOther(source: SourceNode, target: CopyTarget): Promise<Made | undefined> {
    const { kind, rdev } = source.stat;
    const { tree, directory, name } = target;
    if (!this.#options.recursive) return this.#problem(source, `it is a ${kind}, and -r is not given`);
    let link: Uint8Array | undefined;
    try {
      if (kind === "symlink") link = await source.readLink();
    } catch (error) {
      return this.#refused(source, error);
    }
    const there = await this.#there(target);
    if (there?.type === FT_DIR) return this.#problem(source, "the target has a directory of its name");
    const own = source.inImage;
    if (own?.tree === tree && there?.location.objectid === own.inode)
      return this.#problem(source, "it is the target itself");
    const at = await this.#batches.place(tree);
    if (there !== undefined) await edit.unlink(at, directory, name);
    const inode =
      link === undefined
        ? await edit.makeSpecial(at, directory, name, specialOf(kind, rdev), this.#attributes(source))
        : await edit.makeSymlink(at, directory, name, link, { ...this.#attributes(source), mode: 0o777 });
    await this.#keepAttributes(source, { tree, inode }, true);
    this.counts[link === undefined ? "specials" : "symlinks"]++;
    return { tree, inode };
  }

  /** Another name of what was copied before. @returns Whether that is done. */
  async #linkTo(known: Made | undefined, source: SourceNode, target: CopyTarget): Promise<boolean> {
    if (known === undefined) return false;
    const { tree, directory, name } = target;
    if (known.tree !== tree) {
      this.#problem(
        source,
        "its other name was copied to another subvolume: the two are files of their own",
        "not kept",
      );
      return false;
    }
    const there = await this.#there(target);
    if (there?.type === FT_DIR) return false;
    if (there?.location.objectid !== known.inode) {
      const at = await this.#batches.place(tree);
      if (there !== undefined) await edit.unlink(at, directory, name);
      await edit.link(at, known.inode, directory, name);
    }
    this.counts.links++;
    this.#options.onCopied?.(source.shown);
    return true;
  }

  async #there({ tree, directory, name }: CopyTarget): Promise<edit.NamedEntry | undefined> {
    return edit.findName(await this.#batches.place(tree), directory, name);
  }

  #attributes({ stat }: SourceNode): edit.NewInode {
    const { preserve, owner } = this.#options;
    if (!preserve) return { mode: stat.mode & 0o777, ...owner };
    return { mode: stat.mode, uid: stat.uid, gid: stat.gid, ...owner, ownAccess: true };
  }

  /** What a copy has beside its content, which has been written: to write it changed the times. */
  async #keepAttributes(source: SourceNode, { tree, inode }: Made, isNew: boolean): Promise<void> {
    const { preserve, owner } = this.#options;
    if (!preserve) {
      if (!isNew && owner !== undefined) await edit.setAttributes(await this.#batches.place(tree), inode, owner);
      return;
    }
    const at = await this.#batches.place(tree);
    try {
      await keepXattrs(at, inode, await source.xattrs(), (why) => this.#problem(source, why, "not kept"));
    } catch (error) {
      this.#refused(source, error, undefined, "not kept");
    }
    const { atime, mtime, kind } = source.stat;
    const { mode, ...owners } = this.#attributes(source);
    await edit.setAttributes(at, inode, { ...owners, ...(kind === "symlink" ? {} : { mode }), atime, mtime });
  }

  /** What the source refused is told; all else ends the copy. */
  #refused(source: SourceNode, error: unknown, name?: Uint8Array, kind?: CopyProblem["kind"]): undefined {
    if (!(error instanceof SourceError)) throw error;
    const more = name === undefined ? "" : `/${new TextDecoder().decode(name)}`;
    this.#options.onProblem({ kind: kind ?? "not copied", path: `${source.shown}${more}`, message: error.message });
    this.counts.problems++;
  }

  #problem(source: SourceNode, message: string, kind: CopyProblem["kind"] = "not copied"): undefined {
    this.#options.onProblem({ kind, path: source.shown, message });
    this.counts.problems++;
  }
}

function specialOf(kind: InodeKind, rdev: SourceNode["stat"]["rdev"]): edit.SpecialFile {
  if (kind === "char" || kind === "block") return { kind, major: rdev?.major ?? 0, minor: rdev?.minor ?? 0 };
  return { kind: kind === "fifo" ? "fifo" : "socket" };
}
