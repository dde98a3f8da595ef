import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../format/inode.ts";
import { EXTENT_DATA, INODE_EXTREF, INODE_ITEM, INODE_REF, VERITY_DESC_ITEM, XATTR_ITEM } from "../format/key-type.ts";
import type { Leaf } from "../format/node.ts";
import { ATTRIBUTES } from "../stream/attributes.ts";
import { COMMANDS } from "../stream/commands.ts";
import type { Extents } from "./extents.ts";
import { decodeFacts, type InodeFacts } from "./inode-facts.ts";
import { namesIn } from "./leaf-names.ts";
import type { Names } from "./names.ts";
import { join } from "./path-bytes.ts";
import type { Paths } from "./paths.ts";
import { ROOT_INODE, type SendState } from "./state.ts";
import type { TimesQueue } from "./times.ts";
import { Unread } from "./unread.ts";

const PERMISSIONS = 0o7777;

/**
 * Full sends, where nearly every inode is a file or directory with one name, in a directory that is there already: their
 * commands without a promise for each. What is any different is left to the generator, before anything of it was done.
 */
export class NewInodes {
  readonly #state: SendState;
  readonly #paths: Paths;
  readonly #times: TimesQueue;
  readonly #names: Names;
  readonly #extents: Extents;
  readonly #start: (ino: number, facts: InodeFacts) => void;

  readonly #onInode: ((ino: number) => void) | undefined;

  /** @param start Makes an inode the current one. @param onInode Called when one is done. */
  constructor(
    state: SendState,
    parts: { readonly paths: Paths; readonly times: TimesQueue; readonly names: Names; readonly extents: Extents },
    start: (ino: number, facts: InodeFacts) => void,
    onInode?: (ino: number) => void,
  ) {
    this.#state = state;
    this.#paths = parts.paths;
    this.#times = parts.times;
    this.#names = parts.names;
    this.#extents = parts.extents;
    this.#start = start;
    this.#onInode = onInode;
  }

  /** @returns False when the generator has to see to the item; a promise where what remains of it has to be waited for. */
  take(ino: number, type: number, leaf: Leaf, slot: number): boolean | Promise<void> {
    try {
      return this.#take(ino, type, leaf, slot);
    } catch (error) {
      // Lookups come before all that is done here.
      if (error instanceof Unread) return false;
      throw error;
    }
  }

  #take(ino: number, type: number, leaf: Leaf, slot: number): boolean | Promise<void> {
    const state = this.#state;
    if (state.out.isFull || this.#times.isFull) return false;
    if (type === INODE_ITEM) return this.#takeInode(ino, leaf, slot);
    if (ino !== state.ino) return false;
    if (state.isIgnored) return true;
    if (type === INODE_REF) return this.#takeName(leaf, slot);
    if (type === INODE_EXTREF || type === XATTR_ITEM || type === VERITY_DESC_ITEM || !this.#finish(ino, type))
      return false;
    const trimming = this.#times.isFull ? this.#times.trim() : undefined;
    if (trimming !== undefined) {
      return trimming.then(() => (type === EXTENT_DATA ? this.#extents.send(leaf, slot) : undefined));
    }
    return type === EXTENT_DATA ? (this.#extents.send(leaf, slot) ?? true) : true;
  }

  #takeInode(ino: number, leaf: Leaf, slot: number): boolean | Promise<void> {
    const facts = decodeFacts(leaf, slot);
    const { generation, mode, nlink } = facts;
    const type = mode & S_IFMT;
    if (nlink === 0 || ino === ROOT_INODE || (type !== S_IFREG && type !== S_IFDIR)) return false;
    if (this.#names.hasMade || (type === S_IFREG && this.#state.checksFiles)) return false;
    const name = this.#paths.orphanName(ino, generation);
    if (!this.#finish(ino, INODE_ITEM)) return false;
    const create = (): void => {
      this.#state.left.passInode(ino, facts);
      this.#start(ino, facts);
      const { out } = this.#state;
      out.begin(type === S_IFREG ? COMMANDS.mkfile : COMMANDS.mkdir);
      out.path(ATTRIBUTES.path, name);
      out.number(ATTRIBUTES.ino, ino);
      out.end();
    };
    const trimming = this.#times.isFull ? this.#times.trim() : undefined;
    if (trimming !== undefined) return trimming.then(create);
    create();
    return true;
  }

  #takeName(leaf: Leaf, slot: number): boolean {
    const state = this.#state;
    const names = namesIn(leaf, slot);
    const [first] = names;
    if (names.length !== 1 || first === undefined || state.ino === ROOT_INODE) return false;
    const { dir, name } = first;
    if (dir === state.ino) return false;
    const above = state.left.getInode(dir);
    const path = this.#paths.of(dir, above.generation);
    const own = name.slice();
    state.newNames.push({ dir, dirGeneration: above.generation, name: own, path: join(path, own) });
    return true;
  }

  /** What is due before an item: the current inode's name, and its end. @returns False when nothing was done. */
  #finish(ino: number, type: number): boolean {
    const state = this.#state;
    if (state.isIgnored) return true;
    const { newNames, goneNames, left } = state;
    const isSame = ino === state.ino;
    if (goneNames.length > 0 || newNames.length > 1 || state.ino === 0) return false;
    const isNamed = newNames.length > 0 && !(isSame && type <= INODE_EXTREF);
    const name = newNames[0];
    if (isNamed) {
      const above = left.findInode(name!.dir);
      const isThere = above?.generation === name!.dirGeneration && above.nlink > 0 && name!.dir < state.progress;
      if (!isThere) return false;
    }
    const from = isNamed ? this.#paths.orphanName(state.ino, state.generation) : undefined;
    const path = isNamed ? name!.path : state.keptPath;
    if (!isSame && (path === undefined || state.hasMore)) return false;
    const facts = left.getInode(state.ino);
    if (isNamed) this.#rename(from!, name!);
    if (!isSame) this.#end(path!, facts);
    return true;
  }

  #rename(from: Uint8Array, { dir, dirGeneration, path }: SendState["newNames"][number]): void {
    const state = this.#state;
    const { out } = state;
    out.begin(COMMANDS.rename);
    out.path(ATTRIBUTES.path, from);
    out.path(ATTRIBUTES.pathTo, path);
    out.end();
    state.keptPath = path;
    if (dir <= state.ino) this.#times.touch(dir, dirGeneration);
    state.newNames.length = 0;
    state.progress = state.ino + 1;
  }

  #end(path: Uint8Array, { uid, gid, mode, times }: InodeFacts): void {
    const state = this.#state;
    const { out, ino } = state;
    if (state.isFile && state.writeEnd !== state.size) {
      out.begin(COMMANDS.truncate);
      out.path(ATTRIBUTES.path, path);
      out.number(ATTRIBUTES.size, state.size);
      out.end();
    }
    out.begin(COMMANDS.chown);
    out.path(ATTRIBUTES.path, path);
    out.number(ATTRIBUTES.uid, uid);
    out.number(ATTRIBUTES.gid, gid);
    out.end();
    if ((mode & S_IFMT) !== S_IFLNK) {
      out.begin(COMMANDS.chmod);
      out.path(ATTRIBUTES.path, path);
      out.number(ATTRIBUTES.mode, mode & PERMISSIONS);
      out.end();
    }
    state.progress = ino + 1;
    if (state.isDirectory && state.size > 0) this.#times.touch(ino, state.generation);
    else this.#times.put(path, times);
    this.#onInode?.(ino);
  }
}
