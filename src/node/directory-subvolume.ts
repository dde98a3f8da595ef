import { equalBytes } from "../bytes/bytes.ts";
import type { Codecs } from "../codec/codec.ts";
import { BtrfsError } from "../errors.ts";
import { joinPath } from "../fs/path.ts";
import { decodeWrite, encodedFields, newDecodeBuffer } from "../receive/decode-write.ts";
import type { EncodedTally } from "../receive/encoded-tally.ts";
import type { CommandHandlers } from "../receive/target.ts";
import type { Handle, NodeKind } from "../restore/target.ts";
import type { Timespec } from "../stream/attributes.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { AttributeKeeper, type KeepOptions } from "./directory-attributes.ts";
import { cloneRange, fallocateFile } from "./directory-content.ts";
import { openSourceFile } from "./directory-copy.ts";
import { finishTree, type PathDifference } from "./directory-finish.ts";
import type { DirectoryHost } from "./directory-host.ts";
import { Directories, keyOf } from "./directory-places.ts";
import { Records } from "./directory-records.ts";
import { TouchedNames } from "./touched-names.ts";

const DECODED = "a plain directory holds no encoded data";

/** Where a subvolume is found that data is cloned from. */
export interface CloneSource {
  readonly host: DirectoryHost;
  readonly from: Handle;
  readonly subvolume: Uint8Array;
}

/** What a subvolume needs from around it. */
export interface Surroundings extends KeepOptions {
  readonly codecs: Codecs;
  readonly encoded: EncodedTally;
  /** Names that differ in case or form may be one to this host. */
  readonly foldsNames: boolean;
  /** A complete subvolume by its uuid. @throws {BtrfsError} `missing`. */
  readonly cloneSource: (uuid: Uint8Array) => CloneSource;
}

/** A subvolume that is being received: a tree of the host, open, and what is still to be done to it. */
export class OpenSubvolume {
  readonly records = new Records();
  readonly keeper: AttributeKeeper;
  /**
   * Of its top directory, to be set when all is done: new files pass through it, and a sender says nothing of its times
   * where they are those of the parent.
   */
  rootTimes: { readonly atime: bigint; readonly mtime: bigint } | undefined;
  /** Extents whose data the stream left out. */
  withoutData = 0;
  readonly #around: Surroundings;
  readonly #host: DirectoryHost;
  readonly #places: Directories;
  readonly #uuid: Uint8Array;
  /** In place: what it was made from, and what of that is no longer as it was. */
  readonly #replaced: { readonly uuid: Uint8Array; readonly touched: TouchedNames } | undefined;
  #file: { readonly path: Uint8Array; readonly handle: Handle } | undefined;
  #buffer: Uint8Array | undefined;

  /** @param root Its top directory; closed with it. */
  constructor(
    host: DirectoryHost,
    root: Handle,
    around: Surroundings,
    uuid: Uint8Array,
    replaced: Uint8Array | undefined,
  ) {
    this.#host = host;
    this.#around = around;
    this.#uuid = uuid;
    this.#replaced = replaced === undefined ? undefined : { uuid: replaced, touched: new TouchedNames() };
    this.#places = new Directories(host.below(root), root);
    this.keeper = new AttributeKeeper(host, this.records, around);
  }

  get root(): Handle {
    return this.#places.root;
  }

  readonly handlers: CommandHandlers = {
    mkfile: ({ path }) => {
      const { handle, name } = this.#claim(path);
      this.#setFile(path, this.#host.createFile(handle, name));
    },
    mkdir: ({ path }) => {
      const { handle, name } = this.#claim(path);
      this.#host.makeDirectory(handle, name);
    },
    mknod: ({ path, mode, rdev }) => {
      const format = Number(mode & 0o170000n);
      const kind = NODE_KINDS.get(format);
      if (kind === undefined) throw new BtrfsError("corrupt", `Cannot make node: its mode is ${mode.toString(8)}`);
      const number = Number(BigInt.asUintN(32, rdev));
      const device = { major: (number >>> 8) & 0xfff, minor: (number & 0xff) | ((number >>> 12) & 0xfff00) };
      this.#makeNode(path, kind, kind === "char" || kind === "block" ? device : undefined);
    },
    mkfifo: ({ path }) => this.#makeNode(path, "fifo", undefined),
    mksock: ({ path }) => this.#makeNode(path, "socket", undefined),
    symlink: ({ path, pathLink }) => {
      const { handle, name } = this.#claim(path);
      this.#host.makeSymlink(handle, name, pathLink);
    },
    rename: ({ path, pathTo }) => this.#rename(path, pathTo),
    link: ({ path, pathLink }) => {
      this.#closeFile();
      this.#claim(path);
      const [from, to] = this.#places.entries(pathLink, path);
      this.#host.link(from.handle, from.name, to.handle, to.name);
    },
    unlink: ({ path }) => {
      this.#closeFile();
      this.#touch(path);
      const { handle, name } = this.#places.entry(path);
      this.#forget(handle, name);
      this.#host.unlink(handle, name);
    },
    rmdir: ({ path }) => {
      this.#closeFile();
      this.#touch(path);
      this.#places.forget(path);
      const { handle, name } = this.#places.entry(path);
      this.#forget(handle, name);
      this.#host.removeDirectory(handle, name);
    },
    write: ({ path, fileOffset, data }) => this.#host.write(this.#openFile(path), data, fileOffset),
    encodedWrite: (command, batch, i) => this.#encodedWrite(command.path, command.data, batch, i),
    clone: ({ path, fileOffset, cloneLen, cloneUuid, clonePath, cloneOffset }) => {
      const target = this.#openFile(path);
      const source = this.#openSource(cloneUuid, clonePath);
      try {
        cloneRange(this.#host, source, cloneOffset, target, fileOffset, cloneLen);
      } finally {
        this.#host.close(source);
      }
    },
    truncate: ({ path, size }) => this.#host.truncate(this.#openFile(path), size),
    fallocate: ({ path, fallocateMode, fileOffset, size }) =>
      fallocateFile(this.#host, this.#openFile(path), fallocateMode, fileOffset, size),
    setXattr: ({ path, xattrName, xattrData }) => this.keeper.setXattr(this.#reach(path), xattrName, xattrData),
    removeXattr: ({ path, xattrName }) => this.keeper.removeXattr(this.#reach(path), xattrName),
    chmod: ({ path, mode }) => this.keeper.setMode(this.#reach(path), Number(mode & 0o7777n)),
    chown: ({ path, uid, gid }) =>
      this.keeper.setOwner(this.#reach(path), Number(BigInt.asUintN(32, uid)), Number(BigInt.asUintN(32, gid))),
    utimes: ({ path, atime, mtime }) => {
      const times = { atime: nanoseconds(atime), mtime: nanoseconds(mtime) };
      if (path.byteLength === 0) this.rootTimes = times;
      else this.keeper.setTimes(this.#reach(path), times.atime, times.mtime);
    },
    updateExtent: () => {
      this.withoutData++;
    },
    // As btrfs receive: inode flags are left as they are.
    fileattr: () => {},
    enableVerity: ({ path, verityAlgorithm, verityBlockSize }) =>
      this.keeper.noteVerity(this.#reach(path), { algorithm: verityAlgorithm, blockSize: verityBlockSize }),
  };

  /** Sets the modes that had to wait, and tells how what is there differs. */
  *finish(): Generator<PathDifference> {
    this.#closeFile();
    if (this.rootTimes !== undefined) {
      this.keeper.setTimes({ handle: this.root, name: undefined }, this.rootTimes.atime, this.rootTimes.mtime);
    }
    yield* finishTree(this.#host, this.root, this.records);
  }

  close(): void {
    this.#closeFile();
    this.#places.close();
  }

  /** Where something new is to be. @throws {BtrfsError} what the host would take for another name, or can't have. */
  #claim(path: Uint8Array) {
    this.#closeFile();
    this.#touch(path);
    const { handle, name } = this.#places.entry(path);
    const fault = this.#host.nameFault(name);
    if (fault !== undefined) {
      throw new BtrfsError("path", `Cannot create: this host can't have the name, ${fault}`);
    }
    if (this.#around.foldsNames && this.#host.has(handle, name)) throw this.#taken(handle, name);
    return { handle, name };
  }

  #taken(directory: Handle, name: Uint8Array): BtrfsError {
    const isSame = this.#host.list(directory).some((other) => equalBytes(other, name));
    const sentence = isSame
      ? "Cannot create: there is something of this name"
      : "Cannot create: this host takes the name for another one that is there, which differs in case or form only";
    return new BtrfsError("exists", sentence);
  }

  #rename(path: Uint8Array, pathTo: Uint8Array): void {
    this.#closeFile();
    this.#touch(path);
    this.#touch(pathTo);
    this.#places.forget(path);
    this.#places.forget(pathTo);
    const [from, to] = this.#places.entries(path, pathTo);
    const fault = this.#host.nameFault(to.name);
    if (fault !== undefined) throw new BtrfsError("path", `Cannot rename: this host can't have the name, ${fault}`);
    if (this.#around.foldsNames && this.#host.has(to.handle, to.name)) {
      const isItself =
        this.#host.stat(from.handle, from.name).inode === this.#host.stat(to.handle, to.name).inode &&
        this.#host.stat(this.#places.reach(path).handle, undefined).inode ===
          this.#host.stat(to.handle, undefined).inode &&
        !this.#host.list(to.handle).some((other) => equalBytes(other, to.name));
      if (!isItself) throw this.#taken(to.handle, to.name);
    } else if (this.records.size > 0 && this.#host.has(to.handle, to.name)) this.#forget(to.handle, to.name);
    this.#host.move(from.handle, from.name, to.handle, to.name);
  }

  #makeNode(path: Uint8Array, kind: NodeKind, device: { readonly major: number; readonly minor: number } | undefined) {
    const { handle, name } = this.#claim(path);
    if (this.#host.makeNode(handle, name, kind, device)) return;
    this.#host.close(this.#host.createFile(handle, name));
    this.keeper.noteNode({ handle, name }, { kind, ...(device ?? { major: 0, minor: 0 }) });
  }

  /** A name is about to go: what is remembered of its inode goes with its last name. */
  #forget(handle: Handle, name: Uint8Array): void {
    if (this.records.size === 0) return;
    const { inode, nlink, kind } = this.#host.stat(handle, name);
    if (nlink === 1 || kind === "directory") this.records.forget(inode);
  }

  /** An inode whose attributes are set; through the open file, when it is that. */
  #reach(path: Uint8Array) {
    if (this.#file !== undefined && equalBytes(this.#file.path, path)) {
      return { handle: this.#file.handle, name: undefined };
    }
    return this.#places.reach(path);
  }

  #openFile(path: Uint8Array): Handle {
    if (this.#file !== undefined && equalBytes(this.#file.path, path)) {
      this.#replaced?.touched.addInode(this.#host.stat(this.#file.handle, undefined).inode);
      return this.#file.handle;
    }
    this.#closeFile();
    const { handle, name } = this.#places.entry(path);
    const file = this.#host.openRegular(handle, name, "write");
    if (this.records.size > 0 || this.#replaced !== undefined) {
      const { inode } = this.#host.stat(file, undefined);
      const node = this.records.find(inode)?.node;
      if (node !== undefined) {
        this.#host.close(file);
        throw new BtrfsError("kind", `Cannot open file: it is a ${node.kind}, a regular file was expected`);
      }
      this.#replaced?.touched.addInode(inode);
    }
    return this.#setFile(path, file);
  }

  #setFile(path: Uint8Array, handle: Handle): Handle {
    this.#file = { path: path.slice(), handle };
    return handle;
  }

  #closeFile(): void {
    const file = this.#file;
    this.#file = undefined;
    if (file !== undefined) this.#host.close(file.handle);
  }

  #encodedWrite(path: Uint8Array, data: Uint8Array, batch: CommandBatch, i: number): void {
    const fields = encodedFields(batch, i);
    this.#buffer ??= newDecodeBuffer();
    const bytes = decodeWrite(this.#around.codecs, fields, data, this.#buffer);
    this.#host.write(this.#openFile(path), bytes, fields.offset);
    this.#around.encoded.decode(DECODED);
  }

  #openSource(uuid: Uint8Array, path: Uint8Array): Handle {
    const isOwn = equalBytes(uuid, this.#uuid);
    const isReplaced = !isOwn && this.#replaced !== undefined && equalBytes(uuid, this.#replaced.uuid);
    if (!isOwn && !isReplaced) {
      const { host, from, subvolume } = this.#around.cloneSource(uuid);
      return openSourceFile(host, from, joinPath(subvolume, path));
    }
    const file = openSourceFile(this.#host, this.root, path);
    if (!isReplaced) return file;
    const { inode } = this.#host.stat(file, undefined);
    if (!this.#replaced!.touched.has(keyOf(path), inode)) return file;
    this.#host.close(file);
    throw new BtrfsError(
      "missing",
      "Cannot clone: the source is in the parent, which was received over in place, and it has changed; receive without --in-place",
    );
  }

  #touch(path: Uint8Array): void {
    this.#replaced?.touched.addName(keyOf(path));
  }
}

/** By `S_IFMT` of Linux, whatever the host is. */
const NODE_KINDS: ReadonlyMap<number, NodeKind> = new Map([
  [0o020000, "char"],
  [0o060000, "block"],
  [0o010000, "fifo"],
  [0o140000, "socket"],
]);

function nanoseconds({ seconds, nanoseconds: rest }: Timespec): bigint {
  return seconds * 1_000_000_000n + BigInt(rest);
}
