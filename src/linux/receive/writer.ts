import { constants } from "node:fs";
import { KernelError } from "../../errors.ts";
import { isNamedNext } from "../../receive/birth.ts";
import { CommandError } from "../../receive/command-error.ts";
import type { EncodedTally } from "../../receive/encoded-tally.ts";
import { pathAt } from "../../receive/schedule.ts";
import type { CommandBatch } from "../../stream/batch.ts";
import { COMMANDS, type CommandName } from "../../stream/commands.ts";
import { linkat, mkdirat, mknodat, renameat2, rmdirat, symlinkat, unlinkat } from "../entries.ts";
import { fallocate } from "../file.ts";
import { cloneRange, enableVerity } from "../file-ioctls.ts";
import type { Native } from "../native.ts";
import { close, openat } from "../open.ts";
import { AttributeWriter } from "./attribute-writer.ts";
import { CloneSources } from "./clone-sources.ts";
import { deviceOf, FILE_MODE, id, nodeMode, number } from "./command-values.ts";
import { checkedOffset, DataWriter, forgetEnd } from "./data.ts";
import type { MountView } from "./mount.ts";
import { type CurrentObject, type OpenFile, openForReading, Places } from "./places.ts";
import type { ThreadShare } from "./thread-messages.ts";

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants;

export interface ApplyOptions {
  /** Apply the inode flags of FILEATTR. */
  readonly fileattr: boolean;
  /** Decode every encoded write. */
  readonly forceDecompress: boolean;
  /** Flush each file that was written before it is closed. */
  readonly fsync: boolean;
}

export interface SubvolumeWriterParts {
  readonly native: Native;
  /** The root of the subvolume, open; it stays the caller's. */
  readonly root: number;
  /** What the sender knows it by. */
  readonly uuid: Uint8Array;
  readonly mount: MountView;
  readonly encoded: EncodedTally;
  readonly sectorSize: number;
  readonly options: ApplyOptions;
}

type Handler = (batch: CommandBatch, i: number, path: string, last: number) => void | Promise<void>;
type Handlers = { readonly [N in Exclude<CommandName, "subvol" | "snapshot" | "end">]: Handler };

const PATH = number("path");
const WRITE = COMMANDS.write.number;

/** Permission bits that may be there from the start; setuid, setgid and sticky wait for the owner. */
const PLAIN_MODE = 0o777;
const DIRECTORY_MODE = 0o700;

/** Carries out the commands for one subvolume of a mounted btrfs, one after the other. */
export class SubvolumeWriter {
  /** Extents that UPDATE_EXTENT named without their data. */
  withoutData = 0;
  /** Files whose inode flags could not all be set. */
  withoutFlags = 0;

  readonly #native: Native;
  readonly #options: ApplyOptions;
  readonly #places: Places;
  readonly #sources: CloneSources;
  readonly #attributes: AttributeWriter;
  readonly #data: DataWriter;
  readonly #encoded: EncodedTally;
  readonly #owner = { uid: process.geteuid!(), gid: process.getegid!() };
  readonly #umask = process.umask();
  readonly #handlers: (Handler | undefined)[] = [];

  constructor({ native, root, uuid, mount, encoded, sectorSize, options }: SubvolumeWriterParts) {
    this.#native = native;
    this.#options = options;
    this.#encoded = encoded;
    this.#places = new Places(native, root, options.fsync);
    this.#attributes = new AttributeWriter(native, this.#places);
    this.#sources = new CloneSources(native, mount, { uuid, places: this.#places });
    this.#data = new DataWriter({ native, encoded, sectorSize, forceDecompress: options.forceDecompress });
    for (const [name, handler] of Object.entries(this.#handlersByName())) {
      this.#handlers[COMMANDS[name as CommandName].number] = handler;
    }
  }

  /** @param report Hears of each command that failed, by its place in the batch too. */
  async apply(
    batch: CommandBatch,
    first: number,
    last: number,
    report: (error: unknown, i: number) => void,
  ): Promise<void> {
    for (let i = first; i < last; i++) {
      try {
        if (this.createInPlace(batch, i, last)) i++;
        else if (batch.type(i) === WRITE)
          i = this.#data.write(this.#fileToChange(pathAt(batch, i, PATH)), batch, i, last);
        else {
          const done = this.#handlers[batch.type(i)]!(batch, i, pathAt(batch, i, PATH), last);
          if (done !== undefined) await done;
        }
      } catch (error) {
        report(CommandError.of(batch, i, error), i);
      }
    }
  }

  /** Adds what another thread has done for the same subvolume. */
  addShare({ carried, decoded, withoutData }: ThreadShare): void {
    this.#encoded.carried += carried;
    for (const [reason, count] of decoded) this.#encoded.decode(reason, count);
    this.withoutData += withoutData;
  }

  /** Closes the object at work. */
  release(): void {
    this.#places.release();
  }

  /** Whether a directory has this name: then it has no other one. */
  isDirectory(path: string): boolean {
    return this.#places.isDirectory(path);
  }

  /** Closes the object at work and all directories. */
  forget(): void {
    this.#sources.forget();
    this.#places.forget();
  }

  /** Closes all that is open. @throws what a delayed write has left behind. */
  close(): void {
    try {
      this.#sources.close();
    } finally {
      this.#places.close();
    }
  }

  #handlersByName(): Handlers {
    const create: Handler = (batch, i, path) => this.#create(batch, i, path, undefined);
    return {
      mkfile: create,
      mkdir: create,
      mknod: create,
      mkfifo: create,
      mksock: create,
      symlink: create,
      rename: (batch, i, path) => this.#rename(path, pathAt(batch, i, number("pathTo"))),
      link: (batch, i, path) => this.#link(pathAt(batch, i, number("pathLink")), path),
      unlink: (_batch, _i, path) => {
        const { directory, name } = this.#places.at(path);
        unlinkat(this.#native, directory.fd, name!);
        this.#places.removed(path);
      },
      rmdir: (_batch, _i, path) => {
        const { directory, name } = this.#places.at(path);
        rmdirat(this.#native, directory.fd, name!);
        this.#places.removed(path);
      },
      setXattr: (batch, i, path) => this.#attributes.setXattr(batch, i, path),
      removeXattr: (batch, i, path) => this.#attributes.removeXattr(batch, i, path),
      write: (batch, i, path, last) => void this.#data.write(this.#fileToChange(path), batch, i, last),
      encodedWrite: (batch, i, path, last) => this.#data.encodedWrite(this.#fileToChange(path), batch, i, last),
      clone: (batch, i, path) => this.#clone(batch, i, path),
      truncate: (batch, i, path) => this.#data.truncate(this.#fileToChange(path), batch.u64(i, number("size"))),
      fallocate: (batch, i, path) => {
        const file = this.#fileToChange(path);
        forgetEnd(file);
        const offset = checkedOffset(batch.u64(i, number("fileOffset")));
        const length = checkedOffset(batch.u64(i, number("size")));
        fallocate(this.#native, file.fd, batch.u32(i, number("fallocateMode")), offset, length);
      },
      chmod: (batch, i, path) => this.#attributes.setMode(path, batch.u32(i, number("mode")) & 0o7777),
      chown: (batch, i, path) => this.#attributes.setOwner(path, id(batch, i, "uid"), id(batch, i, "gid")),
      utimes: (batch, i, path) => this.#attributes.setTimes(batch, i, path),
      updateExtent: () => {
        this.withoutData++;
      },
      fileattr: (batch, i, path) => {
        if (!this.#options.fileattr) return;
        if (!this.#attributes.setFlags(path, batch.u64(i, number("fileattr")))) this.withoutFlags++;
      },
      enableVerity: (batch, i, path) => this.#enableVerity(batch, i, path),
    };
  }

  /**
   * Senders make everything under a temporary name and rename it at once. Made under its own name, it is the same for
   * half of the work, where nothing has that name and its directory hands nothing down. False where both have to be done.
   */
  createInPlace(batch: CommandBatch, i: number, last: number): boolean {
    if (!isNamedNext(batch, i, last)) return false;
    const to = pathAt(batch, i + 1, number("pathTo"));
    try {
      const { directory } = this.#places.at(to);
      if (!this.#places.directories.isPlain(directory)) return false;
      this.#create(batch, i, to, this.#modeAhead(batch, i + 2, last, to));
      return true;
    } catch (error) {
      // Taken, most likely, and to be replaced; or an error that the plain way will meet as well.
      if (error instanceof KernelError) return false;
      throw error;
    }
  }

  #fileToChange(path: string): OpenFile {
    const file = this.#places.file(path);
    file.written = true;
    return file;
  }

  /** The mode that the commands from `i` on will give the object, as far as this batch tells. */
  #modeAhead(batch: CommandBatch, i: number, last: number, path: string): number | undefined {
    for (let at = i; at < last && pathAt(batch, at, PATH) === path; at++) {
      if (batch.type(at) === COMMANDS.chmod.number) return batch.u32(at, number("mode")) & PLAIN_MODE;
    }
    return undefined;
  }

  #create(batch: CommandBatch, i: number, path: string, wantedMode: number | undefined): void {
    const { directory, name } = this.#places.at(path);
    const type = batch.type(i);
    const isPlain = this.#places.directories.isPlain(directory);
    const fresh = (mode?: number, fd?: number): CurrentObject => ({
      path,
      fd,
      ...(isPlain ? this.#owner : { uid: undefined, gid: undefined }),
      mode: isPlain && mode !== undefined ? mode & ~this.#umask : undefined,
      written: false,
      size: undefined,
      isCut: false,
    });
    if (type === COMMANDS.mkfile.number) {
      const mode = wantedMode ?? FILE_MODE;
      const fd = openat(this.#native, directory.fd, name!, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
      this.#places.setCurrent(fresh(mode, fd));
      return;
    }
    this.#places.release();
    if (type === COMMANDS.mkdir.number) {
      const mode = wantedMode ?? DIRECTORY_MODE;
      mkdirat(this.#native, directory.fd, name!, mode);
      this.#places.setCurrent(fresh(mode));
    } else if (type === COMMANDS.symlink.number) {
      symlinkat(this.#native, batch.value(i, number("pathLink"))!, directory.fd, name!);
      this.#places.setCurrent(fresh());
    } else {
      mknodat(this.#native, directory.fd, name!, nodeMode(batch, i), deviceOf(batch, i));
      this.#places.setCurrent(fresh());
    }
  }

  #rename(path: string, to: string): void {
    const [source, target] = this.#places.pair(path, to);
    renameat2(this.#native, source.directory.fd, source.name!, target.directory.fd, target.name!);
    this.#places.moved(path, to);
  }

  #link(existing: string, path: string): void {
    const [source, target] = this.#places.pair(existing, path);
    linkat(this.#native, source.directory.fd, source.name!, target.directory.fd, target.name!);
  }

  #clone(batch: CommandBatch, i: number, path: string): void {
    const file = this.#fileToChange(path);
    forgetEnd(file);
    const fd = this.#sources.open(batch.value(i, number("cloneUuid"))!, pathAt(batch, i, number("clonePath")));
    const length = batch.u64(i, number("cloneLen"));
    // To the kernel it means "up to the end"; a stream that says it means nothing.
    if (length === 0n) return;
    const from = { fd, offset: batch.u64(i, number("cloneOffset")) };
    cloneRange(this.#native, from, { fd: file.fd, offset: batch.u64(i, number("fileOffset")) }, length);
  }

  async #enableVerity(batch: CommandBatch, i: number, path: string): Promise<void> {
    // Nobody may have it open for writing.
    this.#places.release();
    const fd = openForReading(this.#native, this.#places.at(path));
    try {
      await enableVerity(this.#native, fd, {
        hashAlgorithm: batch.value(i, number("verityAlgorithm"))![0]!,
        blockSize: batch.u32(i, number("verityBlockSize")),
        salt: batch.value(i, number("veritySaltData"))!.slice(),
        signature: batch.value(i, number("veritySigData"))!.slice(),
      });
    } finally {
      close(this.#native, fd);
    }
  }
}
