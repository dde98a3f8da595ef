import { displayName } from "../bytes/display.ts";
import { BtrfsError } from "../errors.ts";
import type { DirectoryEntry } from "../fs/directory.ts";
import type { Inode } from "../fs/inode.ts";
import { isSafeName, joinPath } from "../fs/path.ts";
import type { Xattr } from "../fs/xattr.ts";
import { applyAttributes } from "./attributes.ts";
import { type JobOptions, Jobs, type RestoreRunner } from "./jobs.ts";
import { Log, type LogOptions } from "./log.ts";
import { OpenDirectory } from "./open-directory.ts";
import type { RestoreSummary } from "./report.ts";
import { isFatal, type RestoreTarget, TargetError } from "./target.ts";
import { within } from "./within.ts";

/** What to restore, and under which name in the target. */
export interface RestoreSource {
  readonly inode: Inode;
  /** `undefined`: the entries of the directory, straight into the target. */
  readonly name: Uint8Array | undefined;
  /** The target was made for it: it takes over its attributes, when the entries go there. */
  readonly isNew?: boolean;
}

export interface RestoreOptions extends LogOptions {
  readonly signal?: AbortSignal | undefined;
  /** Replaces files that are there; the runner's restorers have to know it too. */
  readonly overwrite?: boolean | undefined;
  /** Writes nothing; the runner's restorers have to know it too. */
  readonly dryRun?: boolean | undefined;
  /** Leaves subvolumes that are met on the way empty. */
  readonly oneSubvolume?: boolean | undefined;
}

/** Longest path of a directory, in the image and in the target, in bytes: hostile images nest without end. */
const MAX_PATH_BYTES = 16_384;
const TOP = new Uint8Array(0);

/**
 * Restores files and trees into a directory: contents, names and attributes. Goes on behind what is damaged, and behind
 * names that the target refuses.
 *
 * @throws {TargetError} `space` or `io`, when the target takes no more.
 */
export async function restore(
  sources: readonly RestoreSource[],
  target: RestoreTarget,
  runner: RestoreRunner,
  options: RestoreOptions = {},
): Promise<RestoreSummary> {
  const { signal, overwrite = false, dryRun = false } = options;
  const log = new Log(options);
  const jobs = new Jobs(target, runner, log, { signal, overwrite, dryRun });
  const walk = new Walk(target, jobs, log, { signal, overwrite, dryRun, oneSubvolume: options.oneSubvolume === true });
  try {
    for (const source of sources) await walk.restore(source);
    await jobs.drain();
  } catch (error) {
    await jobs.abort(error);
    throw error;
  }
  return log.summary();
}

/** Makes directories, and hands on the names in them. */
class Walk {
  readonly #target: RestoreTarget;
  readonly #jobs: Jobs;
  readonly #log: Log;
  readonly #options: JobOptions & { readonly oneSubvolume: boolean };
  /** Directories of one source: one that comes again is a loop, or has two names, which none may have. */
  readonly #seen = new Set<string>();

  constructor(target: RestoreTarget, jobs: Jobs, log: Log, options: JobOptions & { readonly oneSubvolume: boolean }) {
    this.#target = target;
    this.#jobs = jobs;
    this.#log = log;
    this.#options = options;
  }

  async restore({ inode, name, isNew = false }: RestoreSource): Promise<void> {
    this.#seen.clear();
    const source = inode.path ?? TOP;
    if (name === undefined) {
      const top = this.#open(inode, source, TOP, isNew, undefined);
      await this.#list(top);
      return;
    }
    if (!isSafeName(name)) return this.#refuseName(source, name);
    const around = new OpenDirectory(inode, { source: parentOf(source), target: TOP, isNew }, () => {});
    if (inode.kind === "directory") await this.#makeDirectory(inode, around, name);
    else await this.#jobs.add({ directory: around, name, inode: inode.number, kind: inode.kind });
    around.release();
  }

  async #makeDirectory(inode: Inode, parent: OpenDirectory, name: Uint8Array): Promise<void> {
    const target = joinPath(parent.target, name);
    const source = joinPath(parent.source, name);
    if (Math.max(target.byteLength, source.byteLength) > MAX_PATH_BYTES) {
      const sentence = `Cannot restore directory: its path is over ${MAX_PATH_BYTES} bytes`;
      this.#log.tell("failed", source, new BtrfsError("limit", sentence));
      return;
    }
    const made = this.#make(parent, name, target, source);
    if (made === undefined) return;
    this.#log.counts.directories++;
    this.#log.restored(source);
    await this.#list(this.#open(inode, source, target, made === "new", parent));
  }

  /** `undefined` when there can be no such directory, which has been told. */
  #make(
    parent: OpenDirectory,
    name: Uint8Array,
    target: Uint8Array,
    source: Uint8Array,
  ): "new" | "existing" | undefined {
    try {
      if (this.#options.dryRun && parent.isNew) return "new";
      if (!this.#options.dryRun) {
        within(this.#target, parent.target, (handle) => this.#target.makeDirectory(handle, name));
        return "new";
      }
    } catch (error) {
      if (!(error instanceof TargetError) || isFatal(error)) throw error;
      if (error.code !== "exists") {
        this.#log.tell("failed", source, error);
        return undefined;
      }
    }
    try {
      within(this.#target, target, () => {});
      return "existing";
    } catch (error) {
      if (!(error instanceof TargetError) || isFatal(error)) throw error;
      if (this.#options.dryRun && error.code === "missing") return "new";
      const sentence = "Cannot restore directory: what has its name can't be entered as a directory";
      this.#log.tell("exists", source, new TargetError("exists", sentence, { cause: error }));
      return undefined;
    }
  }

  #open(
    inode: Inode,
    source: Uint8Array,
    target: Uint8Array,
    isNew: boolean,
    parent: OpenDirectory | undefined,
  ): OpenDirectory {
    parent?.retain();
    // A directory that was there stays as it was, unless it is to be overwritten; the target itself even then.
    const takesAttributes = !this.#options.dryRun && (isNew || (this.#options.overwrite && parent !== undefined));
    const directory = new OpenDirectory(inode, { source, target, isNew }, () => {
      this.#jobs.start(async () => {
        if (takesAttributes) await this.#finish(directory);
        parent?.release();
      });
    });
    return directory;
  }

  async #finish({ inode, source, target }: OpenDirectory): Promise<void> {
    let xattrs: readonly Xattr[] = [];
    try {
      xattrs = await inode.xattrs();
    } catch (error) {
      this.#log.tell("lost", source, error, "Cannot restore extended attributes");
    }
    try {
      within(this.#target, target, (handle) => {
        applyAttributes(this.#target, handle, undefined, inode, xattrs, this.#log.counts);
      });
    } catch (error) {
      if (!(error instanceof TargetError) || isFatal(error)) throw error;
      this.#log.tell("failed", source, error);
    }
  }

  async #list(directory: OpenDirectory): Promise<void> {
    const { inode, source } = directory;
    if (!inode.isPlaceholder) this.#seen.add(keyOf(inode));
    const onDamage = (error: BtrfsError): void => this.#log.tell("lost", source, error, "Names may be missing here");
    for await (const entries of inode.readDirectory({ signal: this.#options.signal, onDamage })) {
      for (const entry of entries) await this.#enter(directory, entry);
    }
    directory.release();
  }

  #enter(directory: OpenDirectory, entry: DirectoryEntry): Promise<void> | undefined {
    const { name, kind, inode } = entry;
    if (!isSafeName(name)) {
      this.#refuseName(joinPath(directory.source, name), name);
      return undefined;
    }
    return kind === "directory"
      ? this.#enterDirectory(directory, entry)
      : this.#jobs.add({ directory, name, inode, kind });
  }

  #refuseName(source: Uint8Array, name: Uint8Array): void {
    const sentence = `Cannot restore: ${JSON.stringify(displayName(name))} can't be the name of a file`;
    this.#log.tell("lost", source, new BtrfsError("path", sentence));
  }

  async #enterDirectory(directory: OpenDirectory, entry: DirectoryEntry): Promise<void> {
    let inode: Inode;
    try {
      inode = await directory.inode.enter(entry);
      if (!inode.isPlaceholder && this.#seen.has(keyOf(inode))) {
        throw new BtrfsError("corrupt", "it has a second name, or is inside of itself");
      }
    } catch (error) {
      this.#log.tell("lost", joinPath(directory.source, entry.name), error, "Cannot restore directory");
      return;
    }
    const stays = entry.subvolume !== undefined && this.#options.oneSubvolume;
    await this.#makeDirectory(stays ? inode.subvolume.placeholder(inode, inode.path) : inode, directory, entry.name);
  }
}

function keyOf({ subvolume, number }: Inode): string {
  return `${subvolume.id} ${number}`;
}

function parentOf(path: Uint8Array): Uint8Array {
  return path.subarray(0, Math.max(path.lastIndexOf(0x2f), 0));
}
