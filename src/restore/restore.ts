import { displayName } from "../bytes/display.ts";
import { BtrfsError } from "../errors.ts";
import { EMPTY_SUBVOL_DIR_OBJECTID } from "../format/objectid.ts";
import type { DirectoryEntry } from "../fs/directory.ts";
import type { Inode } from "../fs/inode.ts";
import { isSafeName, joinPath } from "../fs/path.ts";
import type { Subvolume } from "../fs/subvolume.ts";
import { applyAttributes } from "./attributes.ts";
import type { NamesDirectory } from "./batch.ts";
import { InodeItemReader } from "./inode-items.ts";
import { type JobOptions, Jobs, type RestoreRunner } from "./jobs.ts";
import { Log, type LogOptions } from "./log.ts";
import { type FoundDirectory, OpenDirectory } from "./open-directory.ts";
import { FilePlanner } from "./planner.ts";
import type { RestoreSummary } from "./report.ts";
import { type Handle, isFatal, type RestoreTarget, TargetError } from "./target.ts";

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
  /** What could not be read while the sources were looked for: told and counted as all else that is lost. */
  readonly lost?: readonly LostSource[] | undefined;
}

export interface LostSource {
  /** In the image, from its top. */
  readonly path: Uint8Array;
  readonly error: BtrfsError;
}

interface MadeDirectory {
  readonly isNew: boolean;
  readonly handle: Handle | undefined;
}

/** Longest path of a directory, in the image and in the target, in bytes: hostile images nest without end. */
const MAX_PATH_BYTES = 16_384;
/** Directories that are held open; what is in others is reached by their paths. Well below the usual limit of 1024 files. */
const MAX_OPEN = 700;
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
  const volume = sources[0]?.inode.subvolume.filesystem.volume;
  const largeBytes = target.fileCalls === undefined || dryRun ? undefined : runner.filesBelow;
  const planner =
    volume === undefined || largeBytes === undefined
      ? undefined
      : new FilePlanner(volume, target, { overwrite, largeBytes });
  const jobs = new Jobs(target, runner, log, planner, { signal, overwrite, dryRun });
  const walk = new Walk(target, jobs, log, { signal, overwrite, dryRun, oneSubvolume: options.oneSubvolume === true });
  for (const { path, error } of options.lost ?? []) log.tell("lost", path, error, "Cannot restore what matches here");
  try {
    for (const source of sources) await walk.restore(source);
    await jobs.drain();
  } catch (error) {
    await jobs.abort(error);
    throw error;
  } finally {
    walk.close();
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
  readonly #handles = new Set<Handle>();
  #reader: { readonly subvolume: Subvolume; readonly items: InodeItemReader } | undefined;

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
      const handle = this.#options.dryRun ? undefined : this.#hold(this.#target.openDirectory(TOP));
      const top = this.#open({ inode }, { source, target: TOP, isNew, handle }, undefined);
      await this.#list(top);
      return;
    }
    if (!isSafeName(name)) return this.#refuseName(source, name);
    const around = new OpenDirectory({ inode }, { source: parentOf(source), target: TOP, isNew }, () => {});
    if (inode.kind === "directory") await this.#makeDirectory({ inode }, around, name);
    else await this.#jobs.add({ directory: around, name, inode: inode.number, kind: inode.kind });
    around.release();
  }

  /** Closes what a restore that failed has left open. */
  close(): void {
    for (const handle of this.#handles) this.#target.close(handle);
    this.#handles.clear();
  }

  async #makeDirectory(found: FoundDirectory, parent: OpenDirectory, name: Uint8Array): Promise<void> {
    const target = joinPath(parent.target, name);
    const source = joinPath(parent.source, name);
    if (Math.max(target.byteLength, source.byteLength) > MAX_PATH_BYTES) {
      const sentence = `Cannot restore directory: its path is over ${MAX_PATH_BYTES} bytes`;
      this.#log.tell("failed", source, new BtrfsError("limit", sentence));
      return;
    }
    const made = this.#make(parent, name, source);
    if (made === undefined) return;
    this.#log.counts.directories++;
    this.#log.restored(parent.source, name);
    await this.#list(this.#open(found, { source, target, ...made }, parent));
  }

  /** `undefined` when there can be no such directory, which has been told. */
  #make(parent: OpenDirectory, name: Uint8Array, source: Uint8Array): MadeDirectory | undefined {
    const { dryRun } = this.#options;
    if (dryRun && parent.isNew) return { isNew: true, handle: undefined };
    let isEntering = false;
    try {
      return parent.within(this.#target, (directory) => {
        const isNew = !dryRun && this.#isMade(directory, name);
        isEntering = true;
        return { isNew, handle: this.#hold(this.#target.enterDirectory(directory, name)) };
      });
    } catch (error) {
      if (!(error instanceof TargetError) || isFatal(error)) throw error;
      if (!isEntering) {
        this.#log.tell("failed", source, error);
        return undefined;
      }
      if (dryRun && error.code === "missing") return { isNew: true, handle: undefined };
      const sentence = "Cannot restore directory: what has its name can't be entered as a directory";
      this.#log.tell("exists", source, new TargetError("exists", sentence, { cause: error }));
      return undefined;
    }
  }

  /** False when there is something of this name. */
  #isMade(directory: Handle, name: Uint8Array): boolean {
    try {
      this.#target.makeDirectory(directory, name);
      return true;
    } catch (error) {
      if (error instanceof TargetError && error.code === "exists") return false;
      throw error;
    }
  }

  /** Keeps a directory open for all threads, where that is possible and there are not too many. */
  #hold(handle: Handle): Handle | undefined {
    if (this.#target.sharesHandles && this.#handles.size < MAX_OPEN) {
      this.#handles.add(handle);
      return handle;
    }
    this.#target.close(handle);
    return undefined;
  }

  #letGo(directory: OpenDirectory): void {
    const { handle } = directory;
    if (handle === undefined) return;
    directory.handle = undefined;
    this.#handles.delete(handle);
    this.#target.close(handle);
  }

  #open(
    found: FoundDirectory,
    { source, target, isNew, handle }: Omit<NamesDirectory, "tree">,
    parent: OpenDirectory | undefined,
  ): OpenDirectory {
    parent?.retain();
    // A directory that was there stays as it was, unless it is to be overwritten; the target itself even then.
    const takesAttributes = !this.#options.dryRun && (isNew || (this.#options.overwrite && parent !== undefined));
    const directory = new OpenDirectory(found, { source, target, isNew, handle }, () => {
      this.#jobs.start(async () => {
        await (takesAttributes && this.#finish(directory));
        this.#letGo(directory);
        parent?.release();
      });
    });
    return directory;
  }

  async #finish(directory: OpenDirectory): Promise<void> {
    const { inode, source } = directory;
    let { xattrs } = directory;
    try {
      xattrs ??= await inode.xattrs();
    } catch (error) {
      this.#log.tell("lost", source, error, "Cannot restore extended attributes");
    }
    try {
      directory.within(this.#target, (handle) => {
        applyAttributes(this.#target, handle, undefined, inode, xattrs ?? [], this.#log.counts);
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
      for (const entry of entries) {
        const entering = this.#enter(directory, entry);
        if (entering !== undefined) await entering;
      }
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
    let found: FoundDirectory;
    try {
      found = (await this.#readDirectory(directory, entry)) ?? { inode: await directory.inode.enter(entry) };
      if (!found.inode.isPlaceholder && this.#seen.has(keyOf(found.inode))) {
        throw new BtrfsError("corrupt", "it has a second name, or is inside of itself");
      }
    } catch (error) {
      this.#log.tell("lost", joinPath(directory.source, entry.name), error, "Cannot restore directory");
      return;
    }
    if (entry.subvolume !== undefined && this.#options.oneSubvolume) {
      const { inode } = found;
      found = { inode: inode.subvolume.placeholder(inode, inode.path) };
    }
    await this.#makeDirectory(found, directory, entry.name);
  }

  /** Inode and xattrs in one go; `undefined` when it is for the long way. */
  #readDirectory(
    { inode: { subvolume, path } }: OpenDirectory,
    { name, inode: number, subvolume: other, kind }: DirectoryEntry,
  ): Promise<FoundDirectory | undefined> | FoundDirectory | undefined {
    if (other !== undefined || path === undefined || number === EMPTY_SUBVOL_DIR_OBJECTID) return undefined;
    if (this.#reader?.subvolume !== subvolume) this.#reader = { subvolume, items: new InodeItemReader(subvolume) };
    const check = (found: FoundDirectory | undefined) => (found?.inode.kind === kind ? found : undefined);
    const reading = this.#reader.items.read(number, joinPath(path, name));
    return reading instanceof Promise ? reading.then(check) : check(reading);
  }
}

function keyOf({ subvolume, number }: Inode): string {
  return `${subvolume.id} ${number}`;
}

function parentOf(path: Uint8Array): Uint8Array {
  return path.subarray(0, Math.max(path.lastIndexOf(0x2f), 0));
}
