import { ATTRIBUTES } from "../stream/attributes.ts";
import { COMMANDS } from "../stream/commands.ts";
import type { Extents } from "./extents.ts";
import type { InodeFacts } from "./inode-facts.ts";
import type { Moves } from "./moves.ts";
import type { Paths } from "./paths.ts";
import type { SendState } from "./state.ts";
import type { TimesQueue } from "./times.ts";
import { andThen, whenRead } from "./unread.ts";
import { sendVerity } from "./verity.ts";
import type { Xattrs } from "./xattrs.ts";

/** Protocol that has ENABLE_VERITY. */
const VERITY_VERSION = 3;
const PERMISSIONS = 0o7777;

interface Parts {
  readonly paths: Paths;
  readonly times: TimesQueue;
  readonly moves: Moves;
  readonly extents: Extents;
  readonly xattrs: Xattrs;
}

/** What comes when all items of the current inode have been seen: its size, owner, mode, attributes and times. */
export class InodeEnd {
  readonly #state: SendState;
  readonly #parts: Parts;
  readonly #onInode: ((ino: number) => void) | undefined;

  /** @param onInode Called when an inode is done. */
  constructor(state: SendState, parts: Parts, onInode?: (ino: number) => void) {
    this.#state = state;
    this.#parts = parts;
    this.#onInode = onInode;
  }

  /** A promise only where something has to be waited for. */
  send(): void | Promise<void> {
    const { left, right, ino, isNew } = this.#state;
    const found = whenRead(() => {
      const after = left.getInode(ino);
      return { after, before: right === undefined || isNew ? undefined : right.getInode(ino) };
    });
    return andThen(found, ({ after, before }) => this.#from(0, after, before));
  }

  /** Takes the steps from this one on. */
  #from(first: number, after: InodeFacts, before: InodeFacts | undefined): void | Promise<void> {
    for (let step = first; step < STEPS; step++) {
      const waiting = this.#take(step, after, before);
      if (waiting !== undefined) return waiting.then(() => this.#from(step + 1, after, before));
    }
    this.#onInode?.(this.#state.ino);
  }

  #take(step: number, after: InodeFacts, before: InodeFacts | undefined): void | Promise<void> {
    const state = this.#state;
    const { paths, xattrs } = this.#parts;
    switch (step) {
      case 0:
        return state.isFile ? this.#sendData(before) : undefined;
      case 1:
        if (before === undefined || before.uid !== after.uid || before.gid !== after.gid) return this.#chown(after);
        return;
      case 2:
        if (!state.isSymlink && (before === undefined || before.mode !== after.mode)) return this.#chmod(after);
        return;
      case 3:
        if (state.isSymlink || before === undefined || state.out.version < 2) return;
        if (before.flagsLow !== after.flagsLow || before.flagsHigh !== after.flagsHigh) return this.#fileattr(after);
        return;
      case 4:
        return state.hasVerity && state.out.version >= VERITY_VERSION ? sendVerity(state, paths) : undefined;
      case 5:
        return state.right !== undefined || state.hasXattrs ? xattrs.sendCapability() : undefined;
      default:
        return this.#leave(step);
    }
  }

  /** The last hole, and the size where that does not follow from the data. */
  #sendData(before: InodeFacts | undefined): void | Promise<void> {
    const { writeEnd, size } = this.#state;
    const { extents } = this.#parts;
    const isWritten = writeEnd === size;
    const needsTruncate =
      before === undefined ? !isWritten : before.size !== size && !(size > before.size && isWritten);
    return andThen(extents.sendLastHole(), () => (needsTruncate ? extents.truncate(size) : undefined));
  }

  /** Moves that waited for the inode, and its times. One that waits itself gets them when it is moved. */
  #leave(step: number): void | Promise<void> {
    const state = this.#state;
    const { moves, times } = this.#parts;
    if (moves.isWaiting(state.ino)) return;
    if (step === STEPS - 2) return moves.release();
    state.progress = state.ino + 1;
    if (state.isDirectory && state.size > 0) times.touch(state.ino, state.generation);
    else return times.send(state.ino, state.generation);
  }

  #chown({ uid, gid }: InodeFacts): void | Promise<void> {
    return whenRead(() => {
      const path = this.#parts.paths.current();
      const { out } = this.#state;
      out.begin(COMMANDS.chown);
      out.path(ATTRIBUTES.path, path);
      out.number(ATTRIBUTES.uid, uid);
      out.number(ATTRIBUTES.gid, gid);
      out.end();
    });
  }

  #chmod({ mode }: InodeFacts): void | Promise<void> {
    return whenRead(() => {
      const path = this.#parts.paths.current();
      const { out } = this.#state;
      out.begin(COMMANDS.chmod);
      out.path(ATTRIBUTES.path, path);
      out.number(ATTRIBUTES.mode, mode & PERMISSIONS);
      out.end();
    });
  }

  #fileattr({ flagsLow, flagsHigh }: InodeFacts): void | Promise<void> {
    return whenRead(() => {
      const path = this.#parts.paths.current();
      const { out } = this.#state;
      out.begin(COMMANDS.fileattr);
      out.path(ATTRIBUTES.path, path);
      out.words(ATTRIBUTES.fileattr, flagsLow, flagsHigh);
      out.end();
    });
  }
}

/** Of `#take`. */
const STEPS = 8;
