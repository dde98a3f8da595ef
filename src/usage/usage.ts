import { displayName } from "../bytes/display.ts";
import { NumberSet } from "../bytes/number-set.ts";
import { BtrfsError, type Where } from "../errors.ts";
import { itemsOf } from "../format/key.ts";
import { EXTENT_DATA } from "../format/key-type.ts";
import { FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import type { DirectoryEntry } from "../fs/directory.ts";
import type { Inode } from "../fs/inode.ts";
import { located } from "../fs/located.ts";
import { joinPath } from "../fs/path.ts";
import type { Subvolume } from "../fs/subvolume.ts";
import { DirectoryGuard } from "../fs/walk.ts";
import { countExtents } from "./extents.ts";
import { Tally, type Usage } from "./tally.ts";

/** One file, or a directory with all that is below it. */
export interface UsageRow {
  /** `subvolume` for the root directory of one. */
  readonly kind: "file" | "directory" | "subvolume";
  /** From the top of the filesystem; `undefined` when it was reached by number. */
  readonly path: Uint8Array | undefined;
  readonly subvolume: bigint;
  readonly inode: bigint;
  readonly usage: Usage;
}

export interface UsageOptions {
  readonly signal?: AbortSignal | undefined;
  /** Takes what can't be read, in place of ending the count: it is then too low. */
  readonly onDamage?: ((error: BtrfsError) => void) | undefined;
  /** Kinds to make rows of. */
  readonly rows?: ReadonlySet<UsageRow["kind"]> | undefined;
  /** A row for each of these kinds, what is below a directory before the directory. Waited for. */
  readonly onRow?: ((row: UsageRow) => void | Promise<void>) | undefined;
  /** After each file: how many there were, and their stored bytes. */
  readonly onProgress?: ((progress: { files: number; stored: number }) => void) | undefined;
}

const NOWHERE = new Uint8Array(0);

/** A directory on the way down. */
interface Frame {
  readonly directory: Inode;
  readonly tally: Tally;
  readonly batches: AsyncGenerator<DirectoryEntry[]>;
  batch: readonly DirectoryEntry[];
  next: number;
}

/**
 * Counts what files take, as `compsize` does: each extent once, by its address, where it is first met, however many
 * files of one counter share it. Takes up to 16 bytes of memory an extent.
 */
export class UsageCounter {
  readonly #options: UsageOptions;
  readonly #seen = new NumberSet();
  readonly #total = new Tally();
  readonly #rows: ReadonlySet<UsageRow["kind"]>;
  #files = 0;
  #stored = 0;

  constructor(options: UsageOptions = {}) {
    this.#options = options;
    this.#rows = options.onRow === undefined ? new Set() : (options.rows ?? new Set());
  }

  /** What has been counted up to now. */
  get usage(): Usage {
    return this.#total.result();
  }

  /**
   * Counts a regular file, or all of them below a directory, in subvolumes too. Of other kinds there is nothing to count.
   *
   * @throws {BtrfsError} for what can't be read, unless `onDamage` takes it.
   */
  async add(inode: Inode): Promise<void> {
    const { subvolume, number } = inode;
    if (inode.kind === "file") await this.#addFile({ subvolume, number, path: () => inode.path }, this.#total);
    else if (inode.kind === "directory") await this.#addDirectory(inode);
  }

  /** Depth first, in the order of the entries: extents that files share count where the kernel's order meets them first. */
  async #addDirectory(top: Inode): Promise<void> {
    const guard = new DirectoryGuard(top);
    const frames = [this.#frame(top)];
    for (let frame = frames.at(-1); frame !== undefined; frame = frames.at(-1)) {
      const entry = await this.#nextEntry(frame);
      if (entry === undefined) {
        frames.pop();
        (frames.at(-1)?.tally ?? this.#total).merge(frame.tally);
        await this.#directoryRow(frame);
      } else if (entry.kind === "file") {
        const { directory } = frame;
        const path = () => childPath(directory.path, entry);
        await this.#addFile({ subvolume: directory.subvolume, number: entry.inode, path }, frame.tally);
      } else if (entry.kind === "directory") {
        const below = await this.#enter(frame.directory, entry, guard);
        if (below !== undefined) frames.push(this.#frame(below));
      }
    }
  }

  #frame(directory: Inode): Frame {
    const { signal, onDamage } = this.#options;
    const batches = directory.readDirectory({ signal, onDamage });
    return { directory, tally: new Tally(), batches, batch: [], next: 0 };
  }

  async #nextEntry(frame: Frame): Promise<DirectoryEntry | undefined> {
    while (frame.next === frame.batch.length) {
      const { done, value } = await frame.batches.next();
      if (done) return undefined;
      frame.batch = value;
      frame.next = 0;
    }
    return frame.batch[frame.next++];
  }

  async #enter(directory: Inode, entry: DirectoryEntry, guard: DirectoryGuard): Promise<Inode | undefined> {
    try {
      return await guard.enter(directory, entry);
    } catch (error) {
      this.#fail(error, { path: displayName(childPath(directory.path, entry)) });
      return undefined;
    }
  }

  async #addFile(file: FileAt, into: Tally): Promise<void> {
    const { signal, onProgress } = this.#options;
    const tally = new Tally();
    tally.files = 1;
    const walk = file.subvolume.tree.walk(itemsOf(file.number, EXTENT_DATA), signal === undefined ? {} : { signal });
    for (;;) {
      try {
        const next = walk.next();
        const span = next instanceof Promise ? await next : next;
        if (span === undefined) break;
        countExtents(span, tally, this.#seen);
      } catch (error) {
        // The walk has passed the bad node: what follows it can be had.
        const path = file.path();
        this.#fail(error, { tree: file.subvolume.id, inode: file.number, ...(path && { path: displayName(path) }) });
      }
    }
    into.merge(tally);
    if (onProgress !== undefined) this.#progress(tally, onProgress);
    if (!this.#rows.has("file")) return;
    const { subvolume, number } = file;
    await this.#options.onRow?.({
      kind: "file",
      path: file.path(),
      subvolume: subvolume.id,
      inode: number,
      usage: tally.result(),
    });
  }

  #progress(tally: Tally, onProgress: NonNullable<UsageOptions["onProgress"]>): void {
    this.#files++;
    this.#stored += tally.stored;
    onProgress({ files: this.#files, stored: this.#stored });
  }

  async #directoryRow({ directory, tally }: Frame): Promise<void> {
    const { subvolume, number } = directory;
    const kind = number === FIRST_FREE_OBJECTID ? "subvolume" : "directory";
    if (!this.#rows.has(kind)) return;
    await this.#options.onRow?.({
      kind,
      path: directory.path,
      subvolume: subvolume.id,
      inode: number,
      usage: tally.result(),
    });
  }

  #fail(error: unknown, where: Where): void {
    const found = located(error, where);
    if (!(found instanceof BtrfsError) || this.#options.onDamage === undefined) throw found;
    this.#options.onDamage(found);
  }
}

/** What is needed of a file: its inode item is not. */
interface FileAt {
  readonly subvolume: Subvolume;
  readonly number: bigint;
  /** Made when it is asked for: paths of deep trees take more memory than all else. */
  readonly path: () => Uint8Array | undefined;
}

function childPath(directory: Uint8Array | undefined, { name }: DirectoryEntry): Uint8Array {
  return joinPath(directory ?? NOWHERE, name);
}
