import { loadCodecs } from "#codec";
import { concatBytes, toBytes } from "../bytes/bytes.ts";
import { displayName } from "../bytes/display.ts";
import { formatUuid } from "../bytes/uuid.ts";
import * as edit from "../edit/index.ts";
import { readInode } from "../edit/inode.ts";
import { writeEncoded } from "../encoded/write.ts";
import { BtrfsError, EncodedIoError, UnsupportedError } from "../errors.ts";
import { S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_IFSOCK } from "../format/inode.ts";
import { FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import type { Timespec } from "../stream/attributes.ts";
import type { CommandBatch } from "../stream/batch.ts";
import type { CommandNamed } from "../stream/commands.ts";
import type { Transaction } from "../transaction/transaction.ts";
import type { WritableVolume } from "../transaction/writable.ts";
import { decodeWrite, encodedFields, newDecodeBuffer } from "./decode-write.ts";
import { EncodedTally } from "./encoded-tally.ts";
import { ImagePaths } from "./image-paths.ts";
import { findReceived } from "./image-sources.ts";
import {
  type CommandHandlers,
  oneByOne,
  parentMissing,
  type ReceiveTarget,
  type Report,
  type SubvolumeStart,
  type Unfinished,
} from "./target.ts";

export interface ImageTargetOptions {
  /** The subvolume and the directory in it that get what is received; the top of the filesystem by default. */
  readonly tree?: bigint | undefined;
  readonly directory?: bigint | undefined;
  /** Compresses plain writes where that pays. */
  readonly compress?: edit.WriteOptions["compress"];
  readonly forceDecompress?: boolean | undefined;
  /** Bytes of tree blocks and data after which what is there so far is committed. */
  readonly commitBytes?: number | undefined;
  /** Nanoseconds since 1970: the clock by default. */
  readonly now?: (() => bigint) | undefined;
}

/** On the root directory of a subvolume until it is complete: the uuid of the sender, as text. */
export const MARK = "user.btrkit.receiving";
const COMMIT_TREE_BYTES = 48 << 20;
const COMMIT_DATA_BYTES = 512 << 20;
/** Plain writes that follow each other become one, up to so many bytes. */
const GATHERED_BYTES = 1 << 20;

interface Open {
  readonly start: SubvolumeStart;
  readonly id: bigint;
  readonly report: Report;
  readonly paths: ImagePaths;
  /** A command failed: what came after it has no ground to stand on. */
  failed: boolean;
  /** Whether a commit has it. */
  isCommitted: boolean;
}

interface Gathered {
  readonly inode: bigint;
  readonly offset: bigint;
  readonly parts: Uint8Array[];
  length: number;
}

/**
 * Receives into an unmounted filesystem: snapshots become snapshots, clones shared extents, and encoded writes are stored
 * as they came. It commits now and then; until its end a subvolume is writable, without received uuid, and marked. After
 * a command that failed, the rest of its subvolume is left out, and so is what was not committed.
 */
export class ImageTarget implements ReceiveTarget {
  readonly encoded = new EncodedTally();
  /** Commands of streams without data. */
  withoutData = 0;
  readonly #volume: WritableVolume;
  readonly #options: ImageTargetOptions;
  readonly #now: () => bigint;
  #tx: Transaction | undefined;
  #dataBytes = 0;
  #open: Open | undefined;
  #gathered: Gathered | undefined;
  #buffer: Uint8Array | undefined;
  readonly #run: ReturnType<typeof oneByOne>;

  constructor(volume: WritableVolume, options: ImageTargetOptions = {}) {
    this.#volume = volume;
    this.#options = options;
    this.#now = options.now ?? (() => BigInt(Date.now()) * 1_000_000n);
    this.#run = oneByOne(this.#handlers());
  }

  async begin(start: SubvolumeStart, report: Report): Promise<void> {
    const tx = await this.#begun();
    try {
      const at = { tx, tree: this.#options.tree ?? 5n, now: this.#now() };
      const directory = this.#options.directory ?? FIRST_FREE_OBJECTID;
      let id: bigint;
      if (start.parent === undefined) {
        id = await edit.createSubvolume(at, directory, start.name);
      } else {
        const parent = await findReceived(tx, start.parent.uuid);
        if (parent === undefined) throw parentMissing();
        id = await edit.snapshotSubvolume(at, parent, directory, start.name);
      }
      await edit.setXattr({ ...at, tree: id }, FIRST_FREE_OBJECTID, MARK, toBytes(formatUuid(start.uuid)));
      this.#open = { start, id, report, paths: new ImagePaths(id), failed: false, isCommitted: false };
    } catch (error) {
      this.#forget();
      throw error;
    }
  }

  async apply(batch: CommandBatch, first: number, last: number): Promise<void> {
    const open = this.#open!;
    for (let i = first; i < last && !open.failed; i++) {
      await this.#run(batch, i, i + 1, (error) => this.#fail(open, error));
      if (!open.failed && this.#isTimeToCommit()) await this.#attempt(open, () => this.#commit());
    }
  }

  async drain(): Promise<void> {
    const open = this.#open;
    if (open !== undefined && !open.failed) await this.#attempt(open, () => this.#writeGathered());
  }

  async complete(): Promise<void> {
    const { start, id } = this.#open!;
    const at = await this.#place();
    const { ctime } = await readInode(at, FIRST_FREE_OBJECTID);
    await edit.removeXattr(at, FIRST_FREE_OBJECTID, MARK);
    // The stream said what it is; the mark was not its business.
    await edit.setAttributes(at, FIRST_FREE_OBJECTID, { ctime: ctime.sec * 1_000_000_000n + BigInt(ctime.nsec) });
    await edit.setReceived(at, id, { uuid: start.uuid, stransid: start.ctransid, stime: 0n });
    await edit.setReadOnly(at, id, true);
    await this.#commit();
    this.#open = undefined;
  }

  async abandon(): Promise<Unfinished | undefined> {
    const open = this.#open;
    this.#open = undefined;
    this.#forget();
    return open?.isCommitted === true ? { place: displayName(open.start.name) } : undefined;
  }

  #fail(open: Open, error: unknown): void {
    open.failed = true;
    this.#forget();
    open.report(error);
  }

  async #attempt(open: Open, step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.#fail(open, error);
    }
  }

  async #begun(): Promise<Transaction> {
    this.#tx ??= await this.#volume.begin();
    return this.#tx;
  }

  #forget(): void {
    this.#gathered = undefined;
    this.#dataBytes = 0;
    if (this.#tx !== undefined) this.#volume.abandon(this.#tx);
    this.#tx = undefined;
  }

  #isTimeToCommit(): boolean {
    const { commitBytes } = this.#options;
    const blocks = this.#tx?.dirtyBytes ?? 0;
    return blocks > (commitBytes ?? COMMIT_TREE_BYTES) || this.#dataBytes > (commitBytes ?? COMMIT_DATA_BYTES);
  }

  async #commit(): Promise<void> {
    await this.#writeGathered();
    const tx = this.#tx;
    if (tx === undefined) return;
    this.#tx = undefined;
    this.#dataBytes = 0;
    await this.#volume.commit(tx);
    if (this.#open !== undefined) this.#open.isCommitted = true;
  }

  /** The subvolume that is received, in the running transaction; after all writes that wait. */
  async #place(): Promise<edit.Place> {
    if (this.#gathered !== undefined) await this.#writeGathered();
    return { tx: this.#tx ?? (await this.#begun()), tree: this.#open!.id, now: this.#now() };
  }

  #handlers(): CommandHandlers {
    const at = () => this.#place();
    const paths = () => this.#open!.paths;
    const create = async (
      path: Uint8Array,
      make: (at: edit.Place, directory: bigint, name: Uint8Array) => Promise<bigint>,
    ) => {
      const place = await at();
      const { directory, name } = await paths().parent(place, path);
      paths().remember(path, await make(place, directory, name));
    };
    const change = async (path: Uint8Array, step: (at: edit.Place, inode: bigint) => Promise<void>) => {
      const place = await at();
      await step(place, await paths().inode(place, path));
    };
    return {
      mkfile: ({ path }) =>
        create(path, (place, directory, name) => edit.createFile(place, directory, name, { mode: 0o600 })),
      mkdir: ({ path }) =>
        create(path, (place, directory, name) => edit.makeDirectory(place, directory, name, { mode: 0o700 })),
      mknod: (command) => create(command.path, (place, directory, name) => makeNode(place, directory, name, command)),
      mkfifo: ({ path }) =>
        create(path, (place, directory, name) =>
          edit.makeSpecial(place, directory, name, { kind: "fifo" }, { mode: 0o600 }),
        ),
      mksock: ({ path }) =>
        create(path, (place, directory, name) =>
          edit.makeSpecial(place, directory, name, { kind: "socket" }, { mode: 0o600 }),
        ),
      symlink: ({ path, pathLink }) =>
        create(path, (place, directory, name) => edit.makeSymlink(place, directory, name, pathLink)),
      rename: async ({ path, pathTo }) => {
        const place = await at();
        const from = await paths().parent(place, path);
        const to = await paths().parent(place, pathTo);
        await edit.rename(place, from.directory, from.name, to.directory, to.name);
        paths().moved(path, pathTo);
      },
      link: async ({ path, pathLink }) => {
        const place = await at();
        const inode = await paths().inode(place, pathLink);
        const { directory, name } = await paths().parent(place, path);
        await edit.link(place, inode, directory, name);
      },
      unlink: async ({ path }) => {
        const place = await at();
        const { directory, name } = await paths().parent(place, path);
        await edit.unlink(place, directory, name);
        paths().forget(path);
      },
      rmdir: async ({ path }) => {
        const place = await at();
        const { directory, name } = await paths().parent(place, path);
        await edit.removeDirectory(place, directory, name);
        paths().forget(path);
      },
      setXattr: ({ path, xattrName, xattrData }) =>
        change(path, (place, inode) => edit.setXattr(place, inode, xattrName, xattrData)),
      removeXattr: ({ path, xattrName }) => change(path, (place, inode) => edit.removeXattr(place, inode, xattrName)),
      write: ({ path, fileOffset, data }) => this.#gather(path, fileOffset, data),
      clone: async (command) => {
        const place = await at();
        const inode = await paths().inode(place, command.path);
        const { cloneUuid, clonePath, cloneOffset, cloneLen, fileOffset } = command;
        const source = await this.#sourceOf(place.tx, cloneUuid);
        const origin = source === place.tree ? paths() : new ImagePaths(source);
        const from = await origin.inode({ ...place, tree: source }, clonePath);
        await edit.cloneRange(place, inode, fileOffset, { tree: source, inode: from, offset: cloneOffset }, cloneLen);
      },
      truncate: ({ path, size }) => change(path, (place, inode) => edit.truncateFile(place, inode, size)),
      chmod: ({ path, mode }) =>
        change(path, (place, inode) => edit.setAttributes(place, inode, { mode: Number(mode) })),
      chown: ({ path, uid, gid }) =>
        change(path, (place, inode) => edit.setAttributes(place, inode, { uid: idOf(uid), gid: idOf(gid) })),
      utimes: ({ path, atime, mtime, ctime, otime }) =>
        change(path, (place, inode) =>
          edit.setAttributes(place, inode, {
            atime: timeOf(atime),
            mtime: timeOf(mtime),
            ctime: timeOf(ctime),
            ...(otime === undefined ? {} : { otime: timeOf(otime) }),
          }),
        ),
      updateExtent: () => {
        this.withoutData++;
      },
      fallocate: ({ path, fallocateMode, fileOffset, size }) =>
        change(path, (place, inode) => allocate(place, inode, Number(fallocateMode), fileOffset, fileOffset + size)),
      // As with btrfs receive: flags of inodes are not applied.
      fileattr: () => {},
      encodedWrite: (command, batch, i) => this.#encodedWrite(command, batch, i),
      enableVerity: () => {
        throw new UnsupportedError("Cannot protect file: btrkit does not make fs-verity items");
      },
    };
  }

  /** Keeps plain data back while more may follow: one long extent in place of many short ones. */
  async #gather(path: Uint8Array, offset: bigint, data: Uint8Array): Promise<void> {
    const known = this.#gathered;
    const open = this.#open!;
    const inode = open.paths.known(path);
    const follows = known !== undefined && known.inode === inode && known.offset + BigInt(known.length) === offset;
    if (follows && known.length + data.byteLength <= GATHERED_BYTES) {
      known.parts.push(data.slice());
      known.length += data.byteLength;
      return;
    }
    const at = await this.#place();
    this.#gathered = {
      inode: inode ?? (await open.paths.inode(at, path)),
      offset,
      parts: [data.slice()],
      length: data.byteLength,
    };
  }

  async #writeGathered(): Promise<void> {
    const gathered = this.#gathered;
    if (gathered === undefined) return;
    this.#gathered = undefined;
    const at = await this.#place();
    const data = gathered.parts.length === 1 ? gathered.parts[0]! : concatBytes(gathered.parts);
    await edit.writeFile(at, gathered.inode, gathered.offset, data, { compress: this.#options.compress });
    this.#dataBytes += gathered.length;
  }

  async #encodedWrite(command: CommandNamed<"encodedWrite">, batch: CommandBatch, i: number): Promise<void> {
    const fields = encodedFields(batch, i);
    const { data } = command;
    const at = await this.#place();
    const inode = await this.#open!.paths.inode(at, command.path);
    this.#dataBytes += data.byteLength;
    let reason = "as asked";
    if (this.#options.forceDecompress !== true) {
      try {
        const io = {
          offset: fields.offset,
          length: BigInt(fields.length),
          unencodedLength: BigInt(fields.unencodedLength),
          unencodedOffset: BigInt(fields.unencodedOffset),
          compression: fields.compression,
          encryption: 0,
        };
        await writeEncoded(at, inode, io, data);
        this.encoded.carried++;
        return;
      } catch (error) {
        // Refused before anything was changed: what it stands for can still be written.
        if (!(error instanceof EncodedIoError) || error.errno !== "EINVAL") throw error;
        reason = error.errno;
      }
    }
    this.#buffer ??= newDecodeBuffer();
    const plain = decodeWrite(await loadCodecs(), fields, data, this.#buffer);
    await edit.writeFile(at, inode, fields.offset, plain, { compress: this.#options.compress });
    this.encoded.decode(reason);
  }

  async #sourceOf(tx: Transaction, uuid: Uint8Array): Promise<bigint> {
    const open = this.#open!;
    if (open.start.uuid.every((byte, at) => byte === uuid[at])) return open.id;
    const found = await findReceived(tx, uuid);
    if (found !== undefined) return found;
    throw new BtrfsError("missing", "cannot find clone source subvolume");
  }
}

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
  const attributes = { mode: Number(mode) & 0o7777 };
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
