import { loadCodecs } from "#codec";
import { setAttributesNow } from "../edit/attributes.ts";
import { createNow } from "../edit/create.ts";
import { linkNow } from "../edit/directory.ts";
import { writeFileNow } from "../edit/file.ts";
import * as edit from "../edit/index.ts";
import { handsDownNow } from "../edit/inherit.ts";
import { lookAtInode } from "../edit/inode.ts";
import { newEntryNow } from "../edit/names.ts";
import { numberOf } from "../edit/place.ts";
import { renameNow } from "../edit/rename.ts";
import { writeEncodedNow } from "../encoded/write.ts";
import { BtrfsError, EncodedIoError, UnsupportedError } from "../errors.ts";
import { FT_DIR } from "../format/dir-item.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../format/inode.ts";
import { ATTRIBUTES, type Timespec } from "../stream/attributes.ts";
import type { CommandBatch } from "../stream/batch.ts";
import type { CommandNamed } from "../stream/commands.ts";
import { decodeCommand } from "../stream/decode.ts";
import type { MaybePromise } from "../transaction/editor.ts";
import { decodeWrite, encodedFields, newDecodeBuffer } from "./decode-write.ts";
import type { EncodedTally } from "./encoded-tally.ts";
import { ImagePaths, nameOf } from "./image-paths.ts";
import { findReceived } from "./image-sources.ts";
import type { CommandHandlers } from "./target.ts";

/** What commands are carried out on. */
export interface ImageWork {
  /** The subvolume that is received, in the running transaction. */
  readonly at: edit.Place;
  readonly paths: ImagePaths;
  /** What its sender knows it by. */
  readonly uuid: Uint8Array;
  readonly encoded: EncodedTally;
  readonly options: edit.WriteOptions & { readonly forceDecompress?: boolean | undefined };
  /** Takes plain data, to be written later. */
  gather(inode: bigint, offset: bigint, data: Uint8Array): MaybePromise<void>;
  noteData(bytes: number): void;
  noteWithoutData(): void;
}

/** The commands of a stream as changes of an image. Most wait for nothing. */
export function imageCommands(work: ImageWork): CommandHandlers {
  let buffer: Uint8Array | undefined;

  const inodeOf = (path: Uint8Array): MaybePromise<bigint> => {
    const { at, paths } = work;
    return paths.known(path) ?? at.tx.now(() => paths.inode(at, path));
  };
  const parentOf = (path: Uint8Array): MaybePromise<bigint> => {
    const { at, paths } = work;
    return at.tx.now(() => paths.parent(at, path));
  };
  const change = (path: Uint8Array, step: (at: edit.Place, inode: bigint) => MaybePromise<void>) =>
    then(inodeOf(path), (inode) => step(work.at, inode));
  const create = (
    path: Uint8Array,
    make: (at: edit.Place, directory: bigint, name: Uint8Array) => MaybePromise<bigint>,
  ) =>
    then(parentOf(path), (directory) =>
      then(make(work.at, directory, nameOf(path)), (inode) => work.paths.remember(path, inode)),
    );
  const createOf = (path: Uint8Array, type: number, mode: number) =>
    create(path, (at, directory, name) => createNow(at, directory, name, type, { mode, ownAccess: true }));

  const writePlain = async (
    { data }: CommandNamed<"encodedWrite">,
    fields: ReturnType<typeof encodedFields>,
    inode: bigint,
    reason: string,
  ): Promise<void> => {
    buffer ??= newDecodeBuffer();
    const plain = decodeWrite(await loadCodecs(), fields, data, buffer);
    await writeFileNow(work.at, inode, fields.offset, plain, work.options);
    work.encoded.decode(reason);
  };

  const encodedWrite = (command: CommandNamed<"encodedWrite">, batch: CommandBatch, i: number): MaybePromise<void> => {
    const fields = encodedFields(batch, i);
    const { data } = command;
    return then(inodeOf(command.path), (inode) => {
      work.noteData(data.byteLength);
      if (work.options.forceDecompress === true) return writePlain(command, fields, inode, "as asked");
      const io = {
        offset: fields.offset,
        length: BigInt(fields.length),
        unencodedLength: BigInt(fields.unencodedLength),
        unencodedOffset: BigInt(fields.unencodedOffset),
        compression: fields.compression,
        encryption: 0,
      };
      // Refused before anything was changed: what it stands for can still be written.
      const refused = (error: unknown): Promise<void> => {
        if (!(error instanceof EncodedIoError) || error.errno !== "EINVAL") throw error;
        return writePlain(command, fields, inode, error.errno);
      };
      const carried = (): void => {
        work.encoded.carried++;
      };
      try {
        const done = writeEncodedNow(work.at, inode, io, data);
        if (done instanceof Promise) return done.then(carried, refused);
      } catch (error) {
        return refused(error);
      }
      carried();
    });
  };

  const sourceOf = async (uuid: Uint8Array): Promise<bigint> => {
    const { at } = work;
    if (work.uuid.every((byte, index) => byte === uuid[index])) return at.tree;
    const found = await findReceived(at.tx, uuid);
    if (found !== undefined) return found;
    throw new BtrfsError("missing", "cannot find clone source subvolume");
  };

  const clone = async (command: CommandNamed<"clone">): Promise<void> => {
    const { at, paths } = work;
    const inode = await inodeOf(command.path);
    const { cloneUuid, clonePath, cloneOffset, cloneLen, fileOffset } = command;
    const source = await sourceOf(cloneUuid);
    const origin = source === at.tree ? paths : new ImagePaths(source);
    const from = await at.tx.now(() => origin.inode({ ...at, tree: source }, clonePath));
    await edit.cloneRange(at, inode, fileOffset, { tree: source, inode: from, offset: cloneOffset }, cloneLen);
  };

  return {
    mkfile: ({ path }) => createOf(path, S_IFREG, 0o600),
    mkdir: ({ path }) => createOf(path, S_IFDIR, 0o700),
    mknod: (command) => create(command.path, (at, directory, name) => makeNode(at, directory, name, command)),
    mkfifo: ({ path }) => createOf(path, S_IFIFO, 0o600),
    mksock: ({ path }) => createOf(path, S_IFSOCK, 0o600),
    symlink: ({ path, pathLink }) =>
      create(path, (at, directory, name) => edit.makeSymlink(at, directory, name, pathLink, { ownAccess: true })),
    rename: ({ path, pathTo }) =>
      then(parentOf(path), (from) =>
        then(parentOf(pathTo), (to) =>
          then(renameNow(work.at, from, nameOf(path), to, nameOf(pathTo)), (type) =>
            work.paths.moved(path, pathTo, type === FT_DIR),
          ),
        ),
      ),
    link: ({ path, pathLink }) =>
      then(inodeOf(pathLink), (inode) =>
        then(parentOf(path), (directory) => linkNow(work.at, inode, directory, nameOf(path))),
      ),
    unlink: async ({ path }) => {
      await edit.unlink(work.at, await parentOf(path), nameOf(path));
      work.paths.forget(path, false);
    },
    rmdir: async ({ path }) => {
      await edit.removeDirectory(work.at, await parentOf(path), nameOf(path));
      work.paths.forget(path, true);
    },
    setXattr: ({ path, xattrName, xattrData }) =>
      change(path, (at, inode) => edit.setXattr(at, inode, xattrName, xattrData)),
    removeXattr: ({ path, xattrName }) => change(path, (at, inode) => edit.removeXattr(at, inode, xattrName)),
    write: ({ path, fileOffset, data }) => then(inodeOf(path), (inode) => work.gather(inode, fileOffset, data)),
    clone,
    truncate: ({ path, size }) => change(path, (at, inode) => edit.truncateFile(at, inode, size)),
    chmod: ({ path, mode }) =>
      change(path, (at, inode) =>
        then(lookAtInode(at, inode), (item) => {
          if ((item.mode & S_IFMT) !== S_IFLNK) return setAttributesNow(at, inode, { mode: Number(mode) });
          throw new BtrfsError("kind", "Cannot change mode: symbolic links have none of their own");
        }),
      ),
    chown: ({ path, uid, gid }) =>
      change(path, (at, inode) => setAttributesNow(at, inode, { uid: idOf(uid), gid: idOf(gid) })),
    utimes: ({ path, atime, mtime, ctime, otime }) =>
      change(path, (at, inode) =>
        setAttributesNow(at, inode, {
          atime: timeOf(atime),
          mtime: timeOf(mtime),
          ctime: timeOf(ctime),
          otime: otime === undefined ? undefined : timeOf(otime),
        }),
      ),
    updateExtent: () => work.noteWithoutData(),
    fallocate: ({ path, fallocateMode, fileOffset, size }) =>
      change(path, (at, inode) => allocate(at, inode, Number(fallocateMode), fileOffset, fileOffset + size)),
    // As with btrfs receive: flags of inodes are not applied.
    fileattr: () => {},
    encodedWrite,
    enableVerity: () => {
      throw new UnsupportedError("Cannot protect file: btrkit does not make fs-verity items");
    },
  };
}

/** What a command says that makes something. */
type Creation = CommandNamed<"mkfile" | "mkdir" | "mknod" | "mkfifo" | "mksock" | "symlink">;

/** Errors of a name, or of what has it; nothing has changed then. */
const IN_THE_WAY: ReadonlySet<string> = new Set(["exists", "missing", "kind", "path", "limit"]);

/**
 * Makes what is created as `path` and renamed by the next command under its own name at once: the same for half of the work,
 * where that name is free and neither directory hands anything down.
 *
 * @returns Whether both commands are done. Neither is, where one of them would fail: it is to fail in its turn.
 */
export function makeNamed(
  { at, paths }: ImageWork,
  handlers: CommandHandlers,
  batch: CommandBatch,
  i: number,
): MaybePromise<boolean> {
  const path = batch.value(i, PATH)!;
  const to = batch.value(i + 1, PATH_TO)!;
  const refused = (error: unknown): boolean => {
    if (error instanceof BtrfsError && IN_THE_WAY.has(error.code)) return false;
    throw error;
  };
  const make = (may: boolean): MaybePromise<boolean> => {
    if (!may) return false;
    const command = { ...decodeCommand(batch, i), path: to } as Creation;
    const handler = handlers[command.name] as (command: Creation, batch: CommandBatch, i: number) => MaybePromise<void>;
    return then(handler(command, batch, i), () => true);
  };
  try {
    const may = at.tx.now(() => {
      const from = numberOf(paths.parent(at, path));
      if (handsDownNow(at, from)) return false;
      newEntryNow(at, from, nameOf(path));
      return !handsDownNow(at, numberOf(paths.parent(at, to)));
    });
    const done = then(may, make);
    return done instanceof Promise ? done.catch(refused) : done;
  } catch (error) {
    return refused(error);
  }
}

/** `next` of a value, at once where it is there. */
function then<T, R>(value: MaybePromise<T>, next: (value: T) => MaybePromise<R>): MaybePromise<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}

const PATH: number = ATTRIBUTES.path.number;
const PATH_TO: number = ATTRIBUTES.pathTo.number;

const NODE_KINDS: ReadonlyMap<number, "fifo" | "char" | "block" | "socket"> = new Map([
  [S_IFIFO, "fifo"],
  [S_IFCHR, "char"],
  [S_IFBLK, "block"],
  [S_IFSOCK, "socket"],
]);

/** Mode and device as mknod(2) takes them. */
async function makeNode(
  at: edit.Place,
  directory: bigint,
  name: Uint8Array,
  { mode, rdev }: CommandNamed<"mknod">,
): Promise<bigint> {
  const kind = NODE_KINDS.get(Number(mode) & S_IFMT);
  const attributes = { mode: Number(mode) & 0o7777, ownAccess: true };
  if (kind === "fifo" || kind === "socket") return edit.makeSpecial(at, directory, name, { kind }, attributes);
  if (kind !== "char" && kind !== "block") {
    throw new BtrfsError("corrupt", `Cannot make device: mode 0${mode.toString(8)} is none's`);
  }
  if (rdev > 0xffff_ffffn) {
    throw new BtrfsError("limit", `Cannot make device: its number is ${rdev}, 32 bits were expected`);
  }
  const device = Number(rdev);
  const major = (device >>> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
  return edit.makeSpecial(at, directory, name, { kind, major, minor }, attributes);
}

const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;

async function allocate(at: edit.Place, inode: bigint, mode: number, start: bigint, end: bigint): Promise<void> {
  if (mode === (PUNCH_HOLE | KEEP_SIZE)) await edit.punchHole(at, inode, start, end);
  else if (mode === 0 || mode === KEEP_SIZE)
    await edit.preallocate(at, inode, start, end, { keepSize: mode === KEEP_SIZE });
  else throw new UnsupportedError(`Cannot allocate: mode ${mode} is not known, 0, 1 and 3 are`);
}

/** Nanoseconds since 1970. */
function timeOf({ seconds, nanoseconds }: Timespec): bigint {
  return seconds * 1_000_000_000n + BigInt(nanoseconds);
}

function idOf(value: bigint): number {
  if (value < 0xffff_ffffn) return Number(value);
  throw new BtrfsError("limit", `Cannot change owner: the id is ${value}, less than 4294967295 was expected`);
}
