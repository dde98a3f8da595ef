import { equalBytes } from "../bytes/bytes.ts";
import { CorruptError } from "../errors.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../format/inode.ts";
import { ATTRIBUTES } from "../stream/attributes.ts";
import { COMMANDS } from "../stream/commands.ts";
import type { Moves } from "./moves.ts";
import type { Command } from "./output.ts";
import type { Paths } from "./paths.ts";
import type { Snapshot } from "./snapshot.ts";
import { CREATED, DELETED, type NameChange, type SendState, TO_CREATE, UNCHANGED } from "./state.ts";
import { readSymlink } from "./symlink.ts";
import type { TimesQueue } from "./times.ts";
import { whenRead } from "./unread.ts";

/** Names of the current inode: gathered from its items, then made to be. */
export class Names {
  readonly #state: SendState;
  readonly #paths: Paths;
  readonly #moves: Moves;
  readonly #times: TimesQueue;
  /** Directories that were made before their turn. */
  readonly #made = new Set<number>();

  constructor(state: SendState, paths: Paths, moves: Moves, times: TimesQueue) {
    this.#state = state;
    this.#paths = paths;
    this.#moves = moves;
    this.#times = times;
  }

  /** Whether a directory was made before its turn, which has not come yet. */
  get hasMade(): boolean {
    return this.#made.size > 0;
  }

  /** A name that the sent snapshot has. */
  addNew(dir: number, name: Uint8Array): void | Promise<void> {
    const { left, newNames, goneNames } = this.#state;
    return whenRead(() => this.#add(left, dir, name, newNames, goneNames));
  }

  /** A name that the parent has. */
  addGone(dir: number, name: Uint8Array): void | Promise<void> {
    const { right, newNames, goneNames } = this.#state;
    return whenRead(() => this.#add(right!, dir, name, goneNames, newNames));
  }

  #add(snapshot: Snapshot, dir: number, name: Uint8Array, names: NameChange[], others: NameChange[]): void {
    const dirGeneration = snapshot.getInode(dir).generation;
    const same = others.findIndex(
      (other) => other.dir === dir && other.dirGeneration === dirGeneration && equalBytes(other.name, name),
    );
    if (same >= 0) {
      others.splice(same, 1);
      return;
    }
    const own = name.slice();
    names.push({ dir, dirGeneration, name: own, path: this.#paths.child(dir, dirGeneration, own) });
  }

  /** Creates the current inode under its temporary name, unless it is a directory that was made before its turn. */
  async createCurrent(): Promise<void> {
    const { ino, isDirectory, generation, mode, rdev } = this.#state;
    if (isDirectory && this.#made.delete(ino)) return;
    await this.#create(ino, generation, mode, rdev);
  }

  async #createDirectory(dir: number): Promise<void> {
    const { generation, mode, rdev } = await whenRead(() => this.#state.left.getInode(dir));
    await this.#create(dir, generation, mode, rdev);
    this.#made.add(dir);
  }

  async #create(ino: number, generation: number, mode: number, rdev: number): Promise<void> {
    const { out, left } = this.#state;
    const name = await whenRead(() => this.#paths.orphanName(ino, generation));
    const type = mode & S_IFMT;
    const command = CREATE[type];
    if (command === undefined) {
      throw new CorruptError(
        `Cannot send inode: its mode is 0${mode.toString(8)}, which is of no type`,
        left.where(ino),
      );
    }
    const target = type === S_IFLNK ? await readSymlink(left, ino) : undefined;
    out.begin(command);
    out.path(ATTRIBUTES.path, name);
    out.number(ATTRIBUTES.ino, ino);
    if (target !== undefined) out.path(ATTRIBUTES.pathLink, target);
    else if (type !== S_IFREG && type !== S_IFDIR) {
      out.number(ATTRIBUTES.rdev, streamDevice(rdev));
      out.number(ATTRIBUTES.mode, mode);
    }
    out.end();
  }

  /** Makes the gathered names be. @returns Whether the current inode, a directory, has to wait with its move. */
  async apply(): Promise<boolean> {
    const state = this.#state;
    const { newNames, goneNames } = state;
    const position = await whenRead(() => this.#startPosition());
    if (state.right !== undefined) for (const name of newNames) await this.#freeTarget(name, position);
    const touched: NameChange[] = [];
    for (const name of newNames) {
      await this.#place(name, position);
      touched.push(name);
    }
    if (state.isDirectory) {
      if (state.isDeleted) {
        await this.#removeCurrent(position);
        touched.push(...goneNames);
      } else if (goneNames.length > 0) touched.push(goneNames[0]!);
    } else {
      for (const name of goneNames) {
        await this.#unlinkGone(name, position);
        touched.push(name);
      }
      if (position.isOrphan) this.#unlink(position.path);
    }
    await this.#lookAfter(touched);
    state.newNames = [];
    state.goneNames = [];
    return position.isWaiting;
  }

  #startPosition(): Position {
    const { ino, generation, isNew, right } = this.#state;
    let isOrphan = isNew;
    if (!isOrphan && right !== undefined) {
      const { dir, dirGeneration, name } = right.getFirstName(ino);
      isOrphan = this.#state.isNameTaken(dir, dirGeneration, ino, generation, name);
    }
    const path = isOrphan ? this.#paths.orphanName(ino, generation) : this.#paths.current();
    return { path, isOrphan, movedDirectory: false, movedAncestor: false, isWaiting: false };
  }

  /** Moves away, or unlinks, what still has a name that the current inode is to get. */
  async #freeTarget(name: NameChange, position: Position): Promise<void> {
    const state = this.#state;
    const other = await whenRead(() => this.#occupantOf(name));
    if (other === undefined) return;
    const right = state.right!;
    const first = await whenRead(() => right.getFirstName(other));
    if (position.movedDirectory) await this.#renew(name);
    if (first.dir !== name.dir || !equalBytes(first.name, name.name)) {
      this.#send1(COMMANDS.unlink, name.path);
      return;
    }
    const facts = await whenRead(() => right.getInode(other));
    this.#rename(name.path, await whenRead(() => this.#paths.orphanName(other, facts.generation)));
    if ((facts.mode & S_IFMT) === S_IFDIR) position.movedDirectory = true;
    const waiting = this.#paths.waitingMoves.get(other);
    if (waiting !== undefined) waiting.isOrphan = true;
    this.#paths.forget(other, facts.generation);
    if (await whenRead(() => this.#moves.isAncestor(right, other, facts.generation, state.ino))) {
      position.movedAncestor = true;
      state.keptPath = undefined;
      position.path = await whenRead(() => this.#paths.current());
    }
  }

  #occupantOf(name: NameChange): number | undefined {
    const isToCome = this.#state.stateOf(name.dir, name.dirGeneration) === TO_CREATE;
    return isToCome ? undefined : this.#moves.occupant(name);
  }

  async #place(name: NameChange, position: Position): Promise<void> {
    const state = this.#state;
    if ((await whenRead(() => state.stateOf(name.dir, name.dirGeneration))) === TO_CREATE) {
      if (!this.#made.has(name.dir)) await this.#createDirectory(name.dir);
    }
    if (state.isDirectory && state.right !== undefined) {
      position.isWaiting = await whenRead(() => this.#moves.hasToWait(name, position.isOrphan, position.isWaiting));
    }
    if (position.isWaiting) return;
    if (position.isOrphan || state.isDirectory) {
      this.#rename(position.path, name.path);
      position.isOrphan = false;
      position.path = name.path;
      state.keptPath = name.path;
      return;
    }
    if (position.movedDirectory) await this.#renew(name);
    const { out } = state;
    out.begin(COMMANDS.link);
    out.path(ATTRIBUTES.path, name.path);
    out.path(ATTRIBUTES.pathLink, position.path);
    out.end();
  }

  async #removeCurrent(position: Position): Promise<void> {
    const { ino, generation } = this.#state;
    if (await this.#moves.isRemovable(ino, generation)) this.#send1(COMMANDS.rmdir, position.path);
    else if (!position.isOrphan) {
      this.#rename(position.path, await whenRead(() => this.#paths.orphanName(ino, generation)));
      position.isOrphan = true;
    }
  }

  async #unlinkGone(name: NameChange, position: Position): Promise<void> {
    const state = this.#state;
    const { ino, generation } = state;
    if (await whenRead(() => state.isNameTaken(name.dir, name.dirGeneration, ino, generation, name.name))) return;
    if (position.movedAncestor) await this.#renew(name);
    this.#unlink(name.path);
  }

  /** Directories that gained or lost a name: those that were to go may now be empty, the others have new times. */
  async #lookAfter(touched: readonly NameChange[]): Promise<void> {
    const state = this.#state;
    const seen = new Set<string>();
    for (const { dir, dirGeneration } of touched) {
      if (touched.length > 1) {
        const key = `${dir}-${dirGeneration}`;
        if (seen.has(key)) continue;
        seen.add(key);
      }
      if (dir > state.ino) continue;
      const found = await whenRead(() => state.stateOf(dir, dirGeneration));
      if (found === CREATED || found === UNCHANGED) this.#times.touch(dir, dirGeneration);
      else if (found === DELETED && (await this.#moves.isRemovable(dir, dirGeneration))) {
        this.#send1(COMMANDS.rmdir, await whenRead(() => this.#paths.of(dir, dirGeneration)));
      }
    }
  }

  async #renew(name: NameChange): Promise<void> {
    name.path = await whenRead(() => this.#paths.child(name.dir, name.dirGeneration, name.name));
  }

  /** The kernel forgets its kept path when an unlinked one begins with it, byte by byte. */
  #unlink(path: Uint8Array): void {
    const { keptPath } = this.#state;
    if (
      keptPath !== undefined &&
      keptPath.byteLength > 0 &&
      equalBytes(path.subarray(0, keptPath.byteLength), keptPath)
    ) {
      this.#state.keptPath = undefined;
    }
    this.#send1(COMMANDS.unlink, path);
  }

  #send1(command: Command, path: Uint8Array): void {
    const { out } = this.#state;
    out.begin(command);
    out.path(ATTRIBUTES.path, path);
    out.end();
  }

  #rename(from: Uint8Array, to: Uint8Array): void {
    const { out } = this.#state;
    out.begin(COMMANDS.rename);
    out.path(ATTRIBUTES.path, from);
    out.path(ATTRIBUTES.pathTo, to);
    out.end();
  }
}

/** Where the current inode is while its names are being changed. */
interface Position {
  path: Uint8Array;
  isOrphan: boolean;
  /** A directory was moved out of the way: paths that were recorded may lead through it. */
  movedDirectory: boolean;
  /** And that was one above the current inode. */
  movedAncestor: boolean;
  isWaiting: boolean;
}

const CREATE: Partial<Record<number, Command>> = {
  [S_IFREG]: COMMANDS.mkfile,
  [S_IFDIR]: COMMANDS.mkdir,
  [S_IFLNK]: COMMANDS.symlink,
  [S_IFCHR]: COMMANDS.mknod,
  [S_IFBLK]: COMMANDS.mknod,
  [S_IFIFO]: COMMANDS.mkfifo,
  [S_IFSOCK]: COMMANDS.mksock,
};

/** The numbers of a device as Linux encodes them for programs: on disk, it is the major one times 2^20, plus the minor one. */
function streamDevice(rdev: number): number {
  const major = Math.floor(rdev / 0x10_0000) % 0x1000;
  const minor = rdev % 0x10_0000;
  return (minor % 0x100) + major * 0x100 + (minor - (minor % 0x100)) * 0x1000;
}
