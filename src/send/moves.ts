import { equalBytes } from "../bytes/bytes.ts";
import { keyOf as treeKey } from "../format/key.ts";
import { DIR_INDEX } from "../format/key-type.ts";
import { itemStart, keyAt } from "../format/node.ts";
import { ATTRIBUTES } from "../stream/attributes.ts";
import { COMMANDS } from "../stream/commands.ts";
import { targetAt } from "./leaf-entries.ts";
import { checkDepth, keyOf } from "./path-bytes.ts";
import type { Paths } from "./paths.ts";
import type { Snapshot } from "./snapshot.ts";
import { type NameChange, ROOT_INODE, type SendState } from "./state.ts";
import type { TimesQueue } from "./times.ts";
import { whenRead } from "./unread.ts";

/** A directory that is to be moved once another one has been. */
interface PendingMove {
  readonly ino: number;
  readonly generation: number;
  /** Directories whose times change with it. */
  readonly dirs: readonly { readonly dir: number; readonly dirGeneration: number }[];
}

/** Directory moves that would lead through, or to the name of, what has not been moved yet; and removals that wait. */
export class Moves {
  readonly #state: SendState;
  readonly #paths: Paths;
  readonly #times: TimesQueue;
  /** By the inode that they wait for, first come, first served. */
  readonly #pending = new Map<number, PendingMove[]>();

  constructor(state: SendState, paths: Paths, times: TimesQueue) {
    this.#state = state;
    this.#paths = paths;
    this.#times = times;
  }

  isWaiting(ino: number): boolean {
    return this.#paths.waitingMoves.has(ino);
  }

  /** The inode that has a name in the parent, and still has it at the receiver because its turn comes later. */
  occupant({ dir, dirGeneration, name }: NameChange): number | undefined {
    const state = this.#state;
    const { right } = state;
    if (right === undefined || !state.existsNow(dir, dirGeneration)) return undefined;
    if (dir !== ROOT_INODE && right.findInode(dir)?.generation !== dirGeneration) return undefined;
    const entry = right.findEntry(dir, name);
    if (entry === undefined || entry.isSubvolume) return undefined;
    return entry.id > state.progress || this.isWaiting(entry.id) ? entry.id : undefined;
  }

  /** Whether `above` is a directory above `ino`, by any of its names. */
  isAncestor(snapshot: Snapshot, above: number, generation: number, ino: number): boolean {
    if (above === ino) return true;
    for (const { dir } of snapshot.allNames(ino)) {
      const { generation: dirGeneration } = snapshot.getInode(dir);
      if (this.#isOnTheWay(snapshot, above, generation, dir, dirGeneration)) return true;
    }
    return false;
  }

  #isOnTheWay(snapshot: Snapshot, above: number, generation: number, ino: number, inoGeneration: number): boolean {
    if (above === ino) return generation === inoGeneration;
    for (let at = ino, depth = 0; at > ROOT_INODE; depth++) {
      checkDepth(depth, snapshot, ino);
      const { dir, dirGeneration } = snapshot.getFirstName(at);
      if (dir === above) return dirGeneration === generation;
      at = dir;
    }
    return false;
  }

  /** Delays the current directory's move where it has to wait for another one. @param isWaiting It does already. */
  hasToWait(name: NameChange, isOrphan: boolean, isWaiting: boolean): boolean {
    if (this.#waitsForDestination(name, isOrphan)) return true;
    return isWaiting || this.#waitsForParent(name, isOrphan);
  }

  /** When the name that it is to get belongs to one whose own move waits. */
  #waitsForDestination({ dir, name }: NameChange, isOrphan: boolean): boolean {
    const { left, right } = this.#state;
    if (this.#paths.waitingMoves.size === 0) return false;
    const entry = right!.findEntry(dir, name);
    if (entry === undefined || entry.isSubvolume) return false;
    const before = right!.getInode(entry.id);
    if (left.findInode(entry.id)?.generation !== before.generation) return false;
    const waiting = this.#paths.waitingMoves.get(entry.id);
    if (waiting === undefined || waiting.isOrphan) return false;
    this.#delayCurrent(entry.id, isOrphan);
    return true;
  }

  /** When a directory above its new place has not been moved yet. */
  #waitsForParent(name: NameChange, isOrphan: boolean): boolean {
    const state = this.#state;
    const { left } = state;
    const right = state.right!;
    let { dir: at, dirGeneration: generation } = name;
    for (let depth = 0; at > ROOT_INODE; depth++) {
      checkDepth(depth, left, at);
      if (this.isWaiting(at) && this.isAncestor(right, state.ino, state.generation, at)) {
        this.#delayCurrent(at, isOrphan);
        return true;
      }
      const after = left.getFirstName(at);
      const before = right.findFirstName(at);
      if (before === undefined) return false;
      const isElsewhere = before.dir !== after.dir || !equalBytes(before.name, after.name);
      if (at > state.ino && isElsewhere && right.getInode(at).generation === generation) {
        this.#delayCurrent(at, isOrphan);
        return true;
      }
      at = after.dir;
      generation = after.dirGeneration;
    }
    return false;
  }

  #delayCurrent(until: number, isOrphan: boolean): void {
    const { ino, generation, newNames, goneNames } = this.#state;
    this.#delay({ ino, generation, dirs: [...goneNames, ...newNames] }, until, isOrphan);
  }

  #delay(move: PendingMove, until: number, isOrphan: boolean): void {
    this.#paths.waitingMoves.set(move.ino, { ino: move.ino, isOrphan, removal: undefined });
    const queue = this.#pending.get(until);
    if (queue === undefined) this.#pending.set(until, [move]);
    else queue.push(move);
  }

  /** Carries out the moves that waited for the current inode, then those that waited for them. */
  release(): void | Promise<void> {
    if (this.#pending.size > 0) return this.#carryOutAll(this.#take(this.#state.ino));
  }

  async #carryOutAll(queue: PendingMove[]): Promise<void> {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      await this.#carryOut(next);
      queue.push(...this.#take(next.ino));
    }
  }

  #take(ino: number): PendingMove[] {
    const moves = this.#pending.get(ino) ?? [];
    this.#pending.delete(ino);
    return moves;
  }

  async #carryOut(move: PendingMove): Promise<void> {
    const state = this.#state;
    const paths = this.#paths;
    const waiting = paths.waitingMoves.get(move.ino)!;
    paths.waitingMoves.delete(move.ino);
    const from = await whenRead(() => {
      if (waiting.isOrphan) return paths.orphanName(move.ino, move.generation);
      const { dir, dirGeneration, name } = state.right!.getFirstName(move.ino);
      return paths.child(dir, dirGeneration, name);
    });
    const { progress } = state;
    state.progress = state.ino + 1;
    const obstacle = await whenRead(() => this.#findLoop(move));
    if (obstacle !== undefined) {
      this.#delay(move, obstacle, waiting.isOrphan);
      paths.waitingMoves.get(move.ino)!.removal = waiting.removal;
      state.progress = progress;
      return;
    }
    const { out } = state;
    const to = await whenRead(() => paths.of(move.ino, move.generation));
    out.begin(COMMANDS.rename);
    out.path(ATTRIBUTES.path, from);
    out.path(ATTRIBUTES.pathTo, to);
    out.end();
    if (waiting.removal !== undefined) await this.#removeAfter(waiting.removal);
    this.#times.touch(move.ino, move.generation);
    for (const { dir, dirGeneration } of move.dirs) {
      if ((await whenRead(() => state.left.findInode(dir))) !== undefined) this.#times.touch(dir, dirGeneration);
    }
    state.progress = progress;
  }

  async #removeAfter({ dir, generation }: { readonly dir: number; readonly generation: number }): Promise<void> {
    if (!this.#paths.isWaitingForRemoval(dir, generation)) return;
    if (!(await this.isRemovable(dir, generation))) return;
    const { out } = this.#state;
    const path = await whenRead(() => this.#paths.of(dir, generation));
    out.begin(COMMANDS.rmdir);
    out.path(ATTRIBUTES.path, path);
    out.end();
  }

  /** The inode to wait for, when a directory would be moved into itself as things stand. */
  #findLoop({ ino, generation }: PendingMove): number | undefined {
    const { right } = this.#state;
    let at = ino;
    let atGeneration = generation;
    let firstWaiting: number | undefined;
    for (let depth = 0; at !== ROOT_INODE; depth++) {
      checkDepth(depth, right!, ino);
      if (this.#paths.isWaitingForRemoval(at, atGeneration)) return undefined;
      let above: { readonly dir: number; readonly dirGeneration: number };
      if (this.isWaiting(at)) {
        firstWaiting ??= at;
        above = right!.getFirstName(at);
      } else {
        const named = this.#paths.nameAndParent(at, atGeneration);
        if (named.isOrphan) return undefined;
        above = named;
      }
      if (above.dir === ino && above.dirGeneration === generation) return firstWaiting ?? at;
      at = above.dir;
      atGeneration = above.dirGeneration;
    }
    return undefined;
  }

  /**
   * Whether all that a directory of the parent held is gone from it by now. When not, it is remembered as waiting for
   * its removal.
   */
  async isRemovable(dir: number, generation: number): Promise<boolean> {
    if (dir === ROOT_INODE) return false;
    const { ino } = this.#state;
    const right = this.#state.right!;
    const removals = this.#paths.waitingRemovals;
    const key = keyOf(dir, generation);
    const known = removals.get(key);
    const highest = known?.highest ?? (await whenRead(() => right.findLastEntry(dir)))?.id ?? 0;
    let next = known?.next ?? 0n;
    if (ino < highest) {
      if (known === undefined) removals.set(key, { highest, next });
      return false;
    }
    const range = { first: treeKey(BigInt(dir), DIR_INDEX, next), last: treeKey(BigInt(dir), DIR_INDEX + 1, 0n) };
    for await (const { leaf, first, last } of right.tree.leaves(range)) {
      for (let slot = first; slot < last; slot++) {
        const { id } = targetAt(leaf.view, itemStart(leaf, slot));
        next = leaf.view.getBigUint64(keyAt(leaf, slot) + 9, true);
        const waiting = this.#paths.waitingMoves.get(id);
        if (waiting !== undefined) waiting.removal = { dir, generation };
        if (waiting !== undefined || id > ino) {
          removals.set(key, { highest: waiting === undefined ? Math.max(highest, id) : highest, next });
          return false;
        }
      }
    }
    removals.delete(key);
    return true;
  }
}
