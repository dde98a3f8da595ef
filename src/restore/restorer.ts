import { type Codecs, loadCodecs } from "#codec";
import { displayName } from "../bytes/display.ts";
import { BtrfsError } from "../errors.ts";
import type { Filesystem } from "../fs/filesystem.ts";
import type { Inode, InodeKind } from "../fs/inode.ts";
import { joinPath } from "../fs/path.ts";
import { applyAttributes } from "./attributes.ts";
import {
  emptyResult,
  type LargeFile,
  type NamesDirectory,
  type NamesJob,
  NamesReader,
  type RestoreJob,
  type RestoreResult,
} from "./batch.ts";
import { ContentCopier, type DecodeFrame, type Stop } from "./content.ts";
import { FileWriter, type ReadDevice, readerOf } from "./file-writer.ts";
import { type Found, InodeFinder } from "./inode-finder.ts";
import { LargeFiles } from "./large-files.ts";
import { LossRecorder } from "./loss.ts";
import { cutRanges } from "./ranges.ts";
import { countInode, tellProblem } from "./results.ts";
import { type Handle, isFatal, type NodeKind, type RestoreTarget, TargetError } from "./target.ts";

export interface RestorerOptions {
  /** Replaces what has a name already, as long as it is no directory. */
  readonly overwrite: boolean;
  /** Looks, and writes nothing. */
  readonly dryRun: boolean;
  /** Files from this size on are left to several threads. */
  readonly largeBytes: number;
  /** Begins the temporary names; no two restorers of one target have the same. */
  readonly token: string;
  readonly stop: Stop;
  /** A faster zstd than the codec's, for data that a checksum vouches for. */
  readonly decodeFrame?: DecodeFrame | undefined;
  /** Faster than the devices' own reading. */
  readonly readDevice?: ReadDevice | undefined;
  /** On a thread that has more to do: lets it come round, every `TURN_BYTES`. */
  readonly turn?: (() => Promise<void>) | undefined;
}

const TURN_BYTES = 8 << 20;

const encoder = new TextEncoder();

/** One name, and where it goes. */
interface Place {
  readonly directory: NamesDirectory;
  /** `undefined` in a dry run, where it is not there. */
  readonly handle: Handle | undefined;
  readonly name: Uint8Array;
  /** In the image. */
  readonly source: Uint8Array;
  readonly kind: InodeKind;
  readonly isLinked: boolean;
  readonly index: number;
}

/** Does jobs, one at a time, on whichever thread it lives. */
export class Restorer {
  readonly #target: RestoreTarget;
  readonly #options: RestorerOptions;
  readonly #inodes: InodeFinder;
  readonly #copier: ContentCopier;
  readonly #large: LargeFiles;
  /** Where the target has the calls for it. */
  readonly #files: FileWriter | undefined;
  #result = emptyResult();
  #temporaries = 0;

  private constructor(filesystem: Filesystem, target: RestoreTarget, codecs: Codecs, options: RestorerOptions) {
    this.#target = target;
    this.#options = options;
    const { volume } = filesystem;
    this.#inodes = new InodeFinder(filesystem);
    this.#copier = new ContentCopier(volume, codecs, target, options);
    this.#large = new LargeFiles(filesystem, target, this.#inodes, this.#copier, options.overwrite);
    const { fileCalls: calls } = target;
    if (calls !== undefined) {
      const { checksum, sectorSize } = volume;
      const read = options.readDevice ?? readerOf(volume);
      this.#files = new FileWriter({ ...options, calls, read, checksum, sectorSize, codecs });
    }
  }

  static async make(filesystem: Filesystem, target: RestoreTarget, options: RestorerOptions): Promise<Restorer> {
    return new Restorer(filesystem, target, await loadCodecs(), options);
  }

  /** @throws {TargetError} `space` or `io`: the target takes no more. */
  async run(job: RestoreJob): Promise<RestoreResult> {
    if (job.job === "files") {
      if (this.#files === undefined) throw new TypeError("Cannot write files so: the target has no calls for it");
      await this.#options.turn?.();
      return this.#files.run(job);
    }
    this.#result = emptyResult();
    this.#copier.bytes = 0;
    if (job.job === "names") await this.#restoreNames(job);
    else if (job.job === "range") await this.#large.writeRange(job, this.#result);
    else await this.#large.finish(job, this.#result);
    this.#result.counts.bytes += this.#copier.bytes;
    return this.#result;
  }

  async #restoreNames(job: NamesJob): Promise<void> {
    const names = new NamesReader(job);
    let index = 0;
    let nextTurn = TURN_BYTES;
    for (let group = 0; group < names.groupCount; group++) {
      const directory = names.group(group);
      let handle: Handle | undefined;
      try {
        handle = directory.handle ?? this.#openDirectory(directory);
      } catch (error) {
        if (!(error instanceof TargetError) || isFatal(error)) throw error;
        tellProblem(this.#result, "failed", directory.source, error, "Cannot restore what is in this directory");
        for (; index < directory.last; index++) this.#result.failed.push(index);
        continue;
      }
      try {
        for (; index < directory.last; index++) {
          this.#options.stop.throwIfAborted();
          if (this.#options.turn !== undefined && this.#bytes > nextTurn) {
            nextTurn = this.#bytes + TURN_BYTES;
            await this.#options.turn();
          }
          await this.#restoreName(names, index, directory, handle, job.linked);
        }
      } finally {
        if (handle !== undefined && directory.handle === undefined) this.#target.close(handle);
      }
    }
  }

  /** Written for the job at hand. */
  get #bytes(): number {
    return this.#result.counts.bytes + this.#copier.bytes;
  }

  async #restoreName(
    names: NamesReader,
    index: number,
    directory: NamesDirectory,
    handle: Handle | undefined,
    isLinked: boolean,
  ): Promise<void> {
    // Whoever is told of a problem keeps the path, not all of the job.
    const name = names.name(index).slice();
    const source = joinPath(directory.source, name);
    const place: Place = { directory, handle, name, source, kind: names.kind(index), isLinked, index };
    const reading = this.#inodes.read(directory.tree, names.inode(index), source, this.#result);
    const found = reading instanceof Promise ? await reading : reading;
    if (found === undefined || !(await this.#restore(found, place))) this.#result.failed.push(index);
  }

  /** `undefined` in a dry run, where the directory would be made. */
  #openDirectory({ target, isNew }: NamesDirectory): Handle | undefined {
    return this.#options.dryRun && isNew ? undefined : this.#target.openDirectory(target);
  }

  /** Whether it needs no more, or somebody else will go on with it. */
  async #restore(found: Found, place: Place): Promise<boolean> {
    const { stat } = found.inode;
    if (stat.kind !== place.kind) {
      const sentence = `Cannot trust inode: it is a ${stat.kind}, its name says ${place.kind}`;
      tellProblem(
        this.#result,
        "lost",
        place.source,
        new BtrfsError("corrupt", sentence, { where: found.inode.where }),
      );
      return false;
    }
    if (stat.nlink > 1 && !place.isLinked) {
      this.#result.links.push({ index: place.index, nlink: stat.nlink });
      return true;
    }
    try {
      if (this.#isTaken(place)) {
        tellProblem(this.#result, "exists", place.source, exists(place.name));
        return false;
      }
      if (this.#options.dryRun) {
        countInode(this.#result, found.inode);
        return true;
      }
      return await this.#make(found, place);
    } catch (error) {
      if (!(error instanceof TargetError) || isFatal(error)) throw error;
      tellProblem(this.#result, error.code === "exists" ? "exists" : "failed", place.source, error);
      return false;
    }
  }

  #isTaken({ directory, handle, name }: Place): boolean {
    return handle !== undefined && !directory.isNew && !this.#options.overwrite && this.#target.has(handle, name);
  }

  /** Makes it under a temporary name, so that nothing is half there under its own. */
  async #make(found: Found, place: Place): Promise<boolean> {
    const { inode } = found;
    const handle = place.handle!;
    const temporary = this.#temporaryName();
    let isMade = false;
    try {
      if (inode.kind === "file") {
        isMade = await this.#makeFile(found, place, temporary);
        if (!isMade) return true;
      } else {
        if (!(await this.#makeOther(inode, handle, temporary))) return inode.kind !== "symlink";
        isMade = true;
        applyAttributes(this.#target, handle, temporary, inode, found.xattrs, this.#result.counts);
      }
      this.#target.rename(handle, temporary, place.name, this.#options.overwrite);
    } catch (error) {
      this.#target.remove(handle, temporary);
      throw error;
    }
    countInode(this.#result, inode);
    return true;
  }

  /** False when others have to write it. */
  async #makeFile(found: Found, place: Place, temporary: Uint8Array): Promise<boolean> {
    const { inode, pieces } = found;
    const { size } = inode.stat;
    const file = this.#target.createFile(place.handle!, temporary);
    try {
      if (size >= this.#options.largeBytes) {
        this.#target.truncate(file, size);
        await this.#leaveToOthers(inode, place, temporary);
        return false;
      }
      const losses = new LossRecorder(this.#result, place.source);
      const end =
        pieces === undefined
          ? await this.#copier.copyRange(inode, 0n, size, file, losses.add)
          : await this.#copier.copy(inode, pieces, file, losses.add);
      if (losses.end()) this.#result.counts.damagedFiles++;
      if (end < size) this.#target.truncate(file, size);
      applyAttributes(this.#target, file, undefined, inode, found.xattrs, this.#result.counts);
    } finally {
      this.#target.close(file);
    }
    return true;
  }

  async #leaveToOthers(inode: Inode, place: Place, temporary: Uint8Array): Promise<void> {
    const { directory, index, name, source } = place;
    const file: LargeFile = {
      tree: directory.tree,
      inode: inode.number,
      source,
      target: directory.target.slice(),
      name,
      temporary,
    };
    this.#result.large.push({ index, file, edges: await cutRanges(inode) });
  }

  async #makeOther(inode: Inode, handle: Handle, name: Uint8Array): Promise<boolean> {
    if (inode.kind === "symlink") {
      let content: Uint8Array;
      try {
        content = await inode.readSymlink();
        if (content.byteLength === 0 || content.includes(0)) {
          throw new BtrfsError("corrupt", "Cannot trust symbolic link: its target is empty or has a NUL byte");
        }
      } catch (error) {
        tellProblem(this.#result, "lost", inode.path!, error, "Cannot restore symbolic link");
        return false;
      }
      this.#target.makeSymlink(handle, name, content);
      return true;
    }
    if (this.#target.makeNode(handle, name, inode.kind as NodeKind, inode.stat.rdev)) return true;
    this.#result.counts.specialsNotHeld++;
    return false;
  }

  #temporaryName(end = ""): Uint8Array {
    return encoder.encode(`.btrkit-${this.#options.token}-${this.#temporaries++}${end}`);
  }
}

function exists(name: Uint8Array): TargetError {
  return new TargetError("exists", `Cannot restore: there is a ${displayName(name)} already`);
}
