import { constants } from "node:fs";
import { availableParallelism } from "node:os";
import { hex } from "../../bytes/bytes.ts";
import { displayName } from "../../bytes/display.ts";
import { BtrfsError, KernelError } from "../../errors.ts";
import { EncodedTally } from "../../receive/encoded-tally.ts";
import {
  parentMissing,
  type ReceiveTarget,
  type Report,
  type SubvolumeStart,
  type Unfinished,
} from "../../receive/target.ts";
import type { CommandBatch } from "../../stream/batch.ts";
import { statx } from "../attributes.ts";
import { AT_FDCWD, pathOf, whereOf } from "../call.ts";
import { RENAME_NOREPLACE, renameat2 } from "../entries.ts";
import { flock, syncfs } from "../file.ts";
import { countWriteErrors, getFilesystemInfo } from "../filesystem.ts";
import { loadNative, type Native } from "../native.ts";
import { close, openat } from "../open.ts";
import { ReceiveThread } from "../receive-thread.ts";
import { createSnapshot, createSubvolume, deleteSubvolume, setReadOnly, setReceivedSubvolume } from "../subvolume.ts";
import { bytesOf } from "./command-values.ts";
import { hasMark, openSubvolume, removeMark, setMark, temporaryName } from "./mark.ts";
import { MountView } from "./mount.ts";
import { SharedWork } from "./shared-work.ts";
import type { ThreadSubvolume } from "./thread-messages.ts";
import { WriteBehind } from "./write-behind.ts";
import { type ApplyOptions, SubvolumeWriter } from "./writer.ts";

export interface LiveTargetOptions extends Partial<ApplyOptions> {
  /** Where the filesystem is mounted, for hosts whose `/proc` does not say. */
  readonly rootMount?: string | undefined;
  /** Flush the filesystem before a subvolume counts as received. */
  readonly syncfs?: boolean | undefined;
  /**
   * 1 keeps to the calling thread, 2 has another one write small files. 2 unless given, where the host has more than two
   * processors: on two, the kernel's own work is what the other one does.
   */
  readonly threads?: 1 | 2 | undefined;
  /**
   * Commands without much data before the other thread is started: short streams end sooner, and large data stay here. 500
   * unless given; with 0 it is waited for.
   */
  readonly commandsBeforeThread?: number | undefined;
}

interface OpenSubvolume {
  readonly start: SubvolumeStart;
  readonly root: number;
  readonly writer: SubvolumeWriter;
  readonly subvolume: ThreadSubvolume;
  shared: SharedWork | undefined;
}

/**
 * Receives into a directory of a mounted btrfs, as root: subvolumes and snapshots by ioctl, encoded writes unopened
 * where the kernel takes them.
 *
 * All is done below open directories, without following symbolic links. A subvolume bears `user.btrkit.receiving` from
 * before it has its name until it has its received uuid.
 */
export class LiveTarget implements ReceiveTarget, Disposable {
  readonly encoded = new EncodedTally();
  /** Extents whose data a stream without data (`btrfs send --no-data`) left out. */
  withoutData = 0;
  /** Files whose inode flags (FILEATTR) could not all be set. */
  withoutFlags = 0;

  readonly #native: Native;
  readonly #directory: number;
  readonly #mount: MountView;
  readonly #options: LiveTargetOptions;
  readonly #sectorSize: number;
  readonly #threads: number;
  /** Of the devices, when receiving began. */
  readonly #writeErrors: bigint;
  readonly #commandsBeforeThread: number;
  readonly #writeBehind: WriteBehind;
  #open: OpenSubvolume | undefined;
  #report: Report = () => {};
  #thread: ReceiveThread | undefined;
  #commands = 0;

  private constructor(native: Native, directory: number, options: LiveTargetOptions) {
    this.#native = native;
    this.#directory = directory;
    this.#options = options;
    this.#threads = options.threads ?? (availableParallelism() > 2 ? 2 : 1);
    this.#commandsBeforeThread = options.commandsBeforeThread ?? 500;
    this.#sectorSize = getFilesystemInfo(native, directory).sectorSize;
    this.#writeErrors = countWriteErrors(native, directory);
    this.#writeBehind = new WriteBehind(native, directory);
    this.#mount = MountView.of(native, directory, options.rootMount);
  }

  /**
   * @param path A directory on btrfs.
   * @throws {KernelError} EPERM without root.
   */
  static open(path: string, options: LiveTargetOptions = {}, native = loadNative()): LiveTarget {
    const directory = openat(native, AT_FDCWD, path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      return new LiveTarget(native, directory, options);
    } catch (error) {
      close(native, directory);
      throw error;
    }
  }

  async begin(start: SubvolumeStart, report: Report): Promise<void> {
    const root = this.#make(start);
    const options = {
      fileattr: this.#options.fileattr ?? false,
      forceDecompress: this.#options.forceDecompress ?? false,
      fsync: this.#options.fsync ?? false,
    };
    const { uuid } = start;
    const common = { root, sectorSize: this.#sectorSize, options };
    const writer = new SubvolumeWriter({
      ...common,
      native: this.#native,
      uuid,
      mount: this.#mount,
      encoded: this.encoded,
    });
    const mount = { root: this.#mount.root, path: hex(this.#mount.path) };
    this.#open = { start, root, writer, subvolume: { ...common, uuid: hex(uuid), mount }, shared: undefined };
    this.#report = report;
    if (this.#commandsBeforeThread === 0 && this.#threads > 1) {
      this.#share();
      await this.#thread!.started();
    } else if (this.#thread !== undefined) this.#share();
  }

  async apply(batch: CommandBatch, first: number, last: number): Promise<void> {
    const { carried } = this.encoded;
    await this.#carryOut(batch, first, last);
    if (this.encoded.carried > carried) this.#writeBehind.add(bytesOf(batch, first, last));
  }

  #carryOut(batch: CommandBatch, first: number, last: number): Promise<void> {
    const { writer, shared } = this.#open!;
    if (shared !== undefined) return shared.apply(batch, first, last);
    this.#commands += smallCommands(batch, first, last);
    if (this.#commands > this.#commandsBeforeThread && this.#threads > 1) this.#share();
    return writer.apply(batch, first, last, this.#report);
  }

  async drain(): Promise<void> {
    await this.#open?.shared?.end();
  }

  async complete(): Promise<void> {
    const { start, root, writer } = this.#open!;
    writer.close();
    await this.#writeBehind.settle();
    if (this.#options.syncfs === true) await syncfs(this.#native, root);
    this.#refuseLostWrites(root);
    setReceivedSubvolume(this.#native, root, { uuid: start.uuid, stransid: start.ctransid });
    removeMark(this.#native, root);
    setReadOnly(this.#native, root, true);
    this.#end();
  }

  async abandon(): Promise<Unfinished | undefined> {
    const open = this.#open;
    if (open === undefined) return undefined;
    const name = displayName(open.start.name);
    const place = `${pathOf(this.#native, this.#directory) ?? "."}/${name}`;
    this.#report = () => {};
    try {
      await open.shared?.end();
      open.writer.close();
    } catch {
      // What could not be flushed is lost with the rest.
    }
    this.#end();
    return { place };
  }

  [Symbol.dispose](): void {
    void this.#thread?.close();
    this.#mount.close();
    close(this.#native, this.#directory);
  }

  #end(): void {
    this.withoutData += this.#open!.writer.withoutData;
    this.withoutFlags += this.#open!.writer.withoutFlags;
    close(this.#native, this.#open!.root);
    this.#open = undefined;
  }

  /** From here on another thread has a part in the subvolume, as soon as it has started. */
  #share(): void {
    this.#thread ??= new ReceiveThread((error) => this.#report(error));
    const { writer, subvolume } = this.#open!;
    this.#open!.shared = new SharedWork(writer, this.#thread, subvolume, (error) => this.#report(error));
  }

  /** A subvolume that bears the mark, under its name; its open root. */
  #make(start: SubvolumeStart): number {
    this.#refuseTaken(start.name);
    const temporary = temporaryName();
    const from = start.parent === undefined ? undefined : this.#openParent(start.parent.uuid);
    try {
      if (from === undefined) createSubvolume(this.#native, this.#directory, temporary);
      else createSnapshot(this.#native, from, this.#directory, temporary);
    } finally {
      if (from !== undefined) close(this.#native, from);
    }
    const root = openSubvolume(this.#native, this.#directory, temporary)!;
    try {
      if (!flock(this.#native, root, "exclusive")) throw locked();
      setMark(this.#native, root, start.uuid);
      renameat2(this.#native, this.#directory, temporary, this.#directory, start.name, RENAME_NOREPLACE);
      return root;
    } catch (error) {
      close(this.#native, root);
      deleteSubvolume(this.#native, this.#directory, temporary);
      throw error;
    }
  }

  /** Linux does not tell everybody: an encoded write that failed on its way to the disk is counted, and no more. */
  #refuseLostWrites(root: number): void {
    const failed = countWriteErrors(this.#native, root) - this.#writeErrors;
    if (failed <= 0n) return;
    const sentence = `Cannot complete: ${failed} writes to the devices of the filesystem have failed meanwhile, look for the cause in the kernel's log (dmesg)`;
    throw new BtrfsError("io", sentence, { where: whereOf(this.#native, { act: "", fd: root }) });
  }

  #openParent(uuid: Uint8Array): number {
    const from = this.#mount.openByUuid(uuid);
    if (from === undefined) throw parentMissing();
    if (!hasMark(this.#native, from)) return from;
    const file = pathOf(this.#native, from);
    close(this.#native, from);
    const where = file === undefined ? {} : { file };
    throw new BtrfsError("missing", "Cannot use parent: it is an unfinished receive itself", { where });
  }

  #refuseTaken(name: Uint8Array): void {
    try {
      statx(this.#native, this.#directory, name);
    } catch (error) {
      if (error instanceof KernelError && error.errno === "ENOENT") return;
      throw error;
    }
    const sentence = "Cannot create subvolume: something has that name already";
    throw new KernelError("BTRFS_IOC_SUBVOL_CREATE_V2", "EEXIST", sentence, { where: { path: displayName(name) } });
  }
}

/** Nobody but a `--cleanup` looks at a name that is so new. */
function locked(): BtrfsError {
  const sentence =
    "Cannot begin: another process has locked the new subvolume, receive again when its --cleanup has ended";
  return new BtrfsError("busy", sentence);
}

/** A command with so much data is a large file's. */
const MUCH_DATA = 16 * 1024;

function smallCommands(batch: CommandBatch, first: number, last: number): number {
  let count = 0;
  for (let i = first; i < last; i++) if (batch.payloadLength(i) < MUCH_DATA) count++;
  return count;
}
