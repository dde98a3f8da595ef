import { toBytes } from "../bytes/bytes.ts";
import { BtrfsError, CorruptError } from "../errors.ts";
import { MAX_PATH_BYTES } from "../stream/encode.ts";
import type { Snapshot } from "./snapshot.ts";
import { ROOT_INODE, type SendState } from "./state.ts";

/** A directory move that has to wait for another one. */
export interface WaitingMove {
  readonly ino: number;
  /** Its name was given away: it has its temporary one. */
  isOrphan: boolean;
  /** A directory whose removal waits for this move. */
  removal: { readonly dir: number; readonly generation: number } | undefined;
}

interface NamedParent {
  readonly dir: number;
  readonly dirGeneration: number;
  readonly name: Uint8Array;
  /** It is a temporary name in the root directory. */
  readonly isOrphan: boolean;
  /** Found while the inode had not been processed. */
  readonly isEarly: boolean;
}

/** Names that are kept; so many as the kernel keeps. */
const MAX_NAMES = 256;
const MAX_DIRECTORIES = 4096;
const EMPTY = new Uint8Array(0);
const SLASH = 0x2f;
const IN_ROOT = { path: EMPTY, until: Number.POSITIVE_INFINITY };

/** Where inodes are at the receiver, as of now. */
export class Paths {
  readonly waitingMoves = new Map<number, WaitingMove>();
  /** Directories that wait for their removal, as `ino-generation`. */
  readonly waitingRemovals = new Map<string, { readonly highest: number; next: bigint }>();
  readonly #state: SendState;
  readonly #names = new Map<string, NamedParent>();
  readonly #orphanNames = new Map<string, Uint8Array>();
  #lastOrphan: { readonly ino: number; readonly generation: number; readonly name: Uint8Array } = {
    ino: 0,
    generation: 0,
    name: EMPTY,
  };
  /** No name in the root directories looks like a temporary one. */
  #areNamesFree = false;
  /** Full sends: path of a directory, good as long as the progress is not above `until`. */
  readonly #directories = new Map<number, { readonly path: Uint8Array; readonly until: number }>();

  constructor(state: SendState) {
    this.#state = state;
  }

  /** Path of an inode. The empty one is the root directory. */
  async of(ino: number, generation: number): Promise<Uint8Array> {
    const state = this.#state;
    if (!state.isCurrent(ino, generation)) {
      return state.right === undefined ? (await this.#fullSend(ino, generation, 0)).path : this.#climb(ino, generation);
    }
    state.keptPath ??=
      state.right === undefined ? (await this.#fullSend(ino, generation, 0)).path : await this.#climb(ino, generation);
    return state.keptPath;
  }

  current(): Promise<Uint8Array> {
    const { ino, generation } = this.#state;
    return this.of(ino, generation);
  }

  async child(dir: number, dirGeneration: number, name: Uint8Array): Promise<Uint8Array> {
    return join(await this.of(dir, dirGeneration), name);
  }

  /** To be called once, before all else. */
  async open(): Promise<void> {
    const { left, right } = this.#state;
    this.#areNamesFree =
      !(await left.mayHaveTemporaryNames()) && (right === undefined || !(await right.mayHaveTemporaryNames()));
  }

  /** As `orphanName`; `undefined` when it has to be waited for. */
  orphanNow(ino: number, generation: number): Uint8Array | undefined {
    if (!this.#areNamesFree) return undefined;
    if (this.#lastOrphan.ino !== ino || this.#lastOrphan.generation !== generation) {
      this.#lastOrphan = { ino, generation, name: asciiBytes(`o${ino}-${generation}-0`) };
    }
    return this.#lastOrphan.name;
  }

  /** Temporary name of an inode: no entry of either root directory has it. */
  async orphanName(ino: number, generation: number): Promise<Uint8Array> {
    const now = this.orphanNow(ino, generation);
    if (now !== undefined) return now;
    const key = keyOf(ino, generation);
    const kept = this.#orphanNames.get(key);
    if (kept !== undefined) return kept;
    const { left, right } = this.#state;
    for (let number = 0; ; number++) {
      const name = toBytes(`o${ino}-${generation}-${number}`);
      if ((await left.findEntry(ROOT_INODE, name)) !== undefined) continue;
      if (right !== undefined && (await right.findEntry(ROOT_INODE, name)) !== undefined) continue;
      if (this.#orphanNames.size >= MAX_DIRECTORIES) this.#orphanNames.clear();
      this.#orphanNames.set(key, name);
      return name;
    }
  }

  /** The inode's name has become another one. */
  forget(ino: number, generation: number): void {
    this.#names.delete(keyOf(ino, generation));
  }

  isWaitingForRemoval(ino: number, generation: number): boolean {
    return this.waitingRemovals.size > 0 && this.waitingRemovals.has(keyOf(ino, generation));
  }

  /** Full sends: path of an inode other than the current one; `undefined` when it has to be waited for. */
  fullNow(ino: number, generation: number): Uint8Array | undefined {
    return this.#fullNow(ino, generation, 0)?.path;
  }

  #fullNow(ino: number, generation: number, depth: number): { path: Uint8Array; until: number } | undefined {
    if (ino === ROOT_INODE) return IN_ROOT;
    const { progress, left } = this.#state;
    const kept = this.#directories.get(ino);
    if (kept !== undefined && progress <= kept.until) return kept;
    if (ino >= progress) {
      const path = this.orphanNow(ino, generation);
      return path && this.#keepDirectory(ino, { path, until: ino });
    }
    if (depth > MAX_PATH_BYTES) return undefined;
    const first = left.firstNameNow(ino);
    const above = first && this.#fullNow(first.dir, first.dirGeneration, depth + 1);
    if (first === undefined || first === null || above === undefined || above === null) return undefined;
    return this.#keepDirectory(ino, { path: join(above.path, first.name), until: above.until });
  }

  #keepDirectory(ino: number, found: { path: Uint8Array; until: number }): { path: Uint8Array; until: number } {
    if (this.#directories.size >= MAX_DIRECTORIES) this.#directories.clear();
    this.#directories.set(ino, found);
    return found;
  }

  /** Without a parent, names only come: what a directory is called changes when it, or one above it, is processed. */
  async #fullSend(ino: number, generation: number, depth: number): Promise<{ path: Uint8Array; until: number }> {
    const now = this.#fullNow(ino, generation, depth);
    if (now !== undefined) return now;
    const { progress, left } = this.#state;
    let found: { path: Uint8Array; until: number };
    if (ino >= progress) found = { path: await this.orphanName(ino, generation), until: ino };
    else {
      checkDepth(depth, left, ino);
      const { dir, dirGeneration, name } = await left.getFirstName(ino);
      const above = await this.#fullSend(dir, dirGeneration, depth + 1);
      found = { path: join(above.path, name), until: above.until };
    }
    return this.#keepDirectory(ino, found);
  }

  async #climb(ino: number, generation: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let length = 0;
    while (ino !== ROOT_INODE) {
      const step = await this.#step(ino, generation);
      parts.push(step.name);
      length += step.name.byteLength + 1;
      if (length > MAX_PATH_BYTES + 1) throw tooLong(length);
      if (step.isOrphan) break;
      ino = step.dir;
      generation = step.dirGeneration;
    }
    return joined(parts, length);
  }

  async #step(ino: number, generation: number): Promise<Omit<NamedParent, "isEarly">> {
    if (this.isWaitingForRemoval(ino, generation)) return this.#orphan(ino, generation);
    const waiting = this.waitingMoves.get(ino);
    if (waiting === undefined) return this.nameAndParent(ino, generation);
    if (waiting.isOrphan) return this.#orphan(ino, generation);
    return { ...(await this.#state.right!.getFirstName(ino)), isOrphan: false };
  }

  async #orphan(ino: number, generation: number): Promise<Omit<NamedParent, "isEarly">> {
    return { dir: ROOT_INODE, dirGeneration: 0, name: await this.orphanName(ino, generation), isOrphan: true };
  }

  /** Name and directory of an inode that waits for nothing. */
  async nameAndParent(ino: number, generation: number): Promise<NamedParent> {
    const { progress } = this.#state;
    const key = keyOf(ino, generation);
    const kept = this.#names.get(key);
    if (kept !== undefined) {
      this.#names.delete(key);
      if (!(kept.isEarly && ino < progress)) {
        this.#names.set(key, kept);
        return kept;
      }
    }
    const found = await this.#findName(ino, generation);
    if (this.#names.size >= MAX_NAMES) this.#names.delete(this.#names.keys().next().value!);
    this.#names.set(key, found);
    return found;
  }

  async #findName(ino: number, generation: number): Promise<NamedParent> {
    const state = this.#state;
    const isEarly = ino >= state.progress;
    if (await state.existsNow(ino, generation)) {
      const first = await (isEarly ? state.right! : state.left).getFirstName(ino);
      const isTaken = await state.isNameTaken(first.dir, first.dirGeneration, ino, generation, first.name);
      if (!isTaken) return { ...first, isOrphan: false, isEarly };
    }
    return { ...(await this.#orphan(ino, generation)), isEarly };
  }
}

/** Path of an inode in a finished snapshot, by its first name and theirs above it. */
export async function pathIn(snapshot: Snapshot, ino: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  while (ino !== ROOT_INODE) {
    const { dir, name } = await snapshot.getFirstName(ino);
    parts.push(name);
    length += name.byteLength + 1;
    if (length > MAX_PATH_BYTES + 1) throw tooLong(length);
    ino = dir;
  }
  return joined(parts, length);
}

export function keyOf(ino: number, generation: number): string {
  return `${ino}-${generation}`;
}

/** Names are at least a byte long, so a path of so many is too long for a stream anyway. */
export function checkDepth(depth: number, snapshot: Snapshot, ino: number): void {
  if (depth <= MAX_PATH_BYTES) return;
  throw new CorruptError("Cannot find path: the directories above it go round in a circle", snapshot.where(ino));
}

function asciiBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

export function join(directory: Uint8Array, name: Uint8Array): Uint8Array {
  if (directory.byteLength === 0) return name;
  const path = new Uint8Array(directory.byteLength + 1 + name.byteLength);
  path.set(directory);
  path[directory.byteLength] = SLASH;
  path.set(name, directory.byteLength + 1);
  return path;
}

/** @param parts The last component first. @param length One more than the path has. */
function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const path = new Uint8Array(Math.max(length - 1, 0));
  let end = path.byteLength;
  for (const part of parts) {
    path.set(part, end - part.byteLength);
    end -= part.byteLength + 1;
    if (end >= 0) path[end] = SLASH;
  }
  return path;
}

function tooLong(length: number): BtrfsError {
  return new BtrfsError("limit", `Cannot send path: it has over ${length - 2} bytes, at most ${MAX_PATH_BYTES} fit`);
}
