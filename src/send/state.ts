import { equalBytes } from "../bytes/bytes.ts";
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../format/inode.ts";
import type { CommandOutput } from "./output.ts";
import type { Snapshot } from "./snapshot.ts";

/** A name of the current inode that it gained or lost. */
export interface NameChange {
  readonly dir: number;
  readonly dirGeneration: number;
  readonly name: Uint8Array;
  /** As of when it was recorded, or last computed. */
  path: Uint8Array;
}

/** What stands in for an inode between two snapshots, as of a moment of the stream. */
export const UNCHANGED = 0;
export const CREATED = 1;
export const TO_CREATE = 2;
export const DELETED = 3;
export const TO_DELETE = 4;
export const NOWHERE = 5;

/** How far the stream is, and the inode that is being sent. Its questions are lookups, as the snapshots' are. */
export class SendState {
  /** The snapshot that is sent. */
  readonly left: Snapshot;
  /** The one it is sent against. */
  readonly right: Snapshot | undefined;
  readonly out: CommandOutput;
  /** Names of inodes below it are those of the sent snapshot, from it on those of the parent. */
  progress = 0;
  /** Files that can't be read: nothing may be cloned from them. */
  readonly leftOut = new Set<number>();

  ino = 0;
  generation = 0;
  isNew = false;
  isDeleted = false;
  /** The number is used by another inode than in the parent. */
  isReplaced = false;
  /** Without names in both snapshots: left out. */
  isIgnored = false;
  /** In bytes. */
  size = 0;
  mode = 0;
  rdev = 0;
  /** End of the last data command, in bytes. */
  writeEnd = 0;
  /** What the inode's path was when it was first needed; the kernel goes on with it. */
  keptPath: Uint8Array | undefined;
  /** Without one among its items, there is no use in looking for a capability. */
  hasXattrs = false;
  /** ENABLE_VERITY is due when the inode is done. */
  hasVerity = false;
  newNames: NameChange[] = [];
  goneNames: NameChange[] = [];

  /** Files are looked at before they are sent. */
  readonly checksFiles: boolean;

  constructor(left: Snapshot, right: Snapshot | undefined, out: CommandOutput, checksFiles = false) {
    this.left = left;
    this.right = right;
    this.out = out;
    this.checksFiles = checksFiles;
  }

  get isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }

  get isFile(): boolean {
    return (this.mode & S_IFMT) === S_IFREG;
  }

  get isSymlink(): boolean {
    return (this.mode & S_IFMT) === S_IFLNK;
  }

  /** Whether there is something to be sent at the end of the inode that few have. */
  get hasMore(): boolean {
    return this.hasXattrs || this.hasVerity;
  }

  isCurrent(ino: number, generation: number): boolean {
    return ino === this.ino && generation === this.generation;
  }

  /** What has become of an inode, as far as the stream is. One without names is none. */
  stateOf(ino: number, generation: number): number {
    const left = this.left.findInode(ino);
    const right = this.right === undefined ? undefined : this.right.findInode(ino);
    const inLeft = left !== undefined && left.nlink > 0 && left.generation === generation;
    const inRight = right !== undefined && right.nlink > 0 && right.generation === generation;
    if (inLeft && inRight) return UNCHANGED;
    const isPast = ino < this.progress;
    if (inLeft) return isPast ? CREATED : TO_CREATE;
    if (inRight) return isPast ? DELETED : TO_DELETE;
    return NOWHERE;
  }

  /** Whether the receiver has the inode by now. */
  existsNow(ino: number, generation: number): boolean {
    if (ino === ROOT_INODE) return true;
    const state = this.stateOf(ino, generation);
    return state === UNCHANGED || state === CREATED || state === TO_DELETE;
  }

  /** Whether another inode has, or is about to get, the name that this one had. */
  isNameTaken(dir: number, dirGeneration: number, ino: number, generation: number, name: Uint8Array): boolean {
    if (this.right === undefined || this.#isOwnName(dir, ino, generation, name)) return false;
    if (!this.existsNow(dir, dirGeneration)) return false;
    if (dir !== ROOT_INODE && this.left.findInode(dir)?.generation !== dirGeneration) return false;
    const entry = this.left.findEntry(dir, name);
    if (entry === undefined || entry.isSubvolume) return false;
    const other = entry.id;
    if (other === ino && this.left.getInode(other).generation === generation) return false;
    if (other < this.progress) return true;
    if (ino === this.ino || other !== this.ino) return false;
    return this.left.getInode(other).generation === this.generation;
  }

  /** Whether the inode itself still has its name: its own items say so, which are nearer than those of the directory. */
  #isOwnName(dir: number, ino: number, generation: number, name: Uint8Array): boolean {
    const { left } = this;
    if (left.findInode(ino)?.generation !== generation) return false;
    const own = left.findFirstName(ino);
    return own !== undefined && own.dir === dir && (own.name === name || equalBytes(own.name, name));
  }
}

export const ROOT_INODE = 256;
