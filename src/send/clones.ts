import { ATTRIBUTES } from "../stream/attributes.ts";
import { COMMANDS } from "../stream/commands.ts";
import type { ExtentRefs } from "./back-refs.ts";
import type { FileItem } from "./file-item.ts";
import { fileItems } from "./file-items.ts";
import { pathIn } from "./path-bytes.ts";
import type { Paths } from "./paths.ts";
import type { Snapshot } from "./snapshot.ts";
import type { SendState } from "./state.ts";
import { whenRead } from "./unread.ts";

/** Where a range can be cloned from. */
export interface CloneSource {
  readonly snapshot: Snapshot;
  readonly ino: number;
  /** In bytes, in that file. */
  readonly offset: number;
}

/** The best place found so far in one of the snapshots. */
interface Candidate {
  readonly snapshot: Snapshot;
  ino: number;
  offset: number;
  /** File bytes of the item there; 0 as long as there is none. */
  length: number;
}

/** Block size up to which a receiver may be made: the end of a source is cloned in multiples of it. */
const LARGEST_SECTOR = 65_536;

/** Finds what the receiver has already of an extent, and turns it into CLONEs. */
export class Clones {
  readonly #state: SendState;
  readonly #paths: Paths;
  readonly #refs: ExtentRefs | undefined;
  readonly #sectorSize: number;
  /** By ascending id of the snapshot. */
  readonly #candidates: readonly Candidate[];
  readonly #byId = new Map<bigint, Candidate>();

  constructor(state: SendState, paths: Paths, roots: readonly Snapshot[], sectorSize: number, refs?: ExtentRefs) {
    this.#state = state;
    this.#paths = paths;
    this.#refs = refs;
    this.#sectorSize = sectorSize;
    this.#candidates = [...roots]
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .map((snapshot) => ({ snapshot, ino: 0, offset: 0, length: 0 }));
    for (const candidate of this.#candidates) this.#byId.set(candidate.snapshot.id, candidate);
  }

  /** A promise only where it has to be waited for. */
  find(item: FileItem): CloneSource | undefined | Promise<CloneSource | undefined> {
    const state = this.#state;
    if (this.#refs === undefined || item.diskBytenr === 0 || item.start >= state.size) return undefined;
    const wanted = Math.min(item.end, state.size) - item.start;
    for (const candidate of this.#candidates) candidate.length = 0;
    const offer = (root: bigint, ino: number, offset: number, length: number): boolean =>
      this.#offer(item, wanted, root, ino, offset, length);
    const waiting = this.#refs.walk(item, state.ino, offer);
    return waiting === undefined ? this.#best(wanted) : waiting.then(() => this.#best(wanted));
  }

  #best(wanted: number): CloneSource | undefined {
    let best: Candidate | undefined;
    for (const candidate of this.#candidates) {
      if (candidate.length <= (best?.length ?? 0)) continue;
      best = candidate;
      if (best.length >= wanted) break;
    }
    return best && { snapshot: best.snapshot, ino: best.ino, offset: best.offset };
  }

  /** @returns Whether nothing better can come. */
  #offer(item: FileItem, wanted: number, root: bigint, ino: number, offset: number, length: number): boolean {
    const state = this.#state;
    const candidate = this.#byId.get(root);
    if (candidate === undefined) return false;
    if (root === state.left.id) {
      // The receiver has what comes before the current place only.
      if (ino > state.ino || state.leftOut.has(ino)) return false;
      if (ino === state.ino && (offset === item.start || offset + wanted > state.writeEnd)) return false;
    }
    if (length <= candidate.length) return false;
    candidate.ino = ino;
    candidate.offset = offset;
    candidate.length = length;
    return length >= wanted;
  }

  /**
   * Sends `length` bytes from `offset` on of the current file as CLONEs from `from`, as far as the source refers to the
   * same bytes; the rest goes through `sendData`.
   */
  async send(
    from: CloneSource,
    item: FileItem,
    offset: number,
    length: number,
    sendData: (offset: number, length: number) => Promise<void>,
  ): Promise<void> {
    // A whole file of one block may be inline at the receiver, where it can't be cloned.
    if (from.offset === 0 && length === this.#sectorSize) return sendData(offset, length);
    const state = this.#state;
    const { snapshot, ino } = from;
    const { size } = await whenRead(() => snapshot.getInode(ino));
    const isOwn = snapshot === state.left && ino === state.ino;
    let source = from.offset;
    let dataOffset = item.offset;
    let at = offset;
    let left = length;
    let isPastEnd = false;
    for await (const other of fileItems(snapshot.tree, ino, source, this.#sectorSize)) {
      if (other.end <= source) continue;
      if (other.start > source) {
        const gap = Math.min(other.start - source, left);
        await sendData(at, gap);
        left -= gap;
        if (left === 0) break;
        at += gap;
        source += gap;
        dataOffset += gap;
      }
      if (other.start >= source + left || other.start >= size) break;
      let available = other.end - other.start;
      if (other.end > size) {
        available = size - other.start;
        isPastEnd = true;
      }
      const isSameExtent = other.inline === undefined && other.diskBytenr === item.diskBytenr;
      let otherOffset = other.offset;
      if (isSameExtent) {
        source = other.start;
        if (otherOffset < dataOffset && otherOffset + available > dataOffset) {
          const skipped = dataOffset - otherOffset;
          available -= skipped;
          otherOffset = dataOffset;
          source += skipped;
        }
      }
      const piece = Math.min(available, left);
      if (isSameExtent && otherOffset === dataOffset) await this.#sendPiece(from, source, size, at, piece, sendData);
      else if (isPastEnd && piece < left) break;
      else await sendData(at, piece);
      left -= piece;
      if (left === 0) break;
      at += piece;
      source += piece;
      if (isOwn && source >= state.writeEnd) break;
      dataOffset += piece;
    }
    if (left > 0) await sendData(at, left);
  }

  /** The last block of a source is cloned to the end of a file only, unless it is whole. */
  async #sendPiece(
    from: CloneSource,
    source: number,
    sourceSize: number,
    at: number,
    length: number,
    sendData: (offset: number, length: number) => Promise<void>,
  ): Promise<void> {
    const end = source + length;
    const isLast = end === sourceSize && end % LARGEST_SECTOR !== 0;
    if (!isLast || at + length >= this.#state.size) return this.#clone(from, source, at, length);
    const whole = length - (length % LARGEST_SECTOR);
    if (whole > 0) await this.#clone(from, source, at, whole);
    await sendData(at + whole, length - whole);
  }

  async #clone({ snapshot, ino }: CloneSource, source: number, at: number, length: number): Promise<void> {
    const { out, left } = this.#state;
    const path = await whenRead(() => this.#paths.current());
    const clonePath = await whenRead(() =>
      snapshot === left ? this.#paths.of(ino, left.getInode(ino).generation) : pathIn(snapshot, ino),
    );
    out.begin(COMMANDS.clone);
    out.number(ATTRIBUTES.fileOffset, at);
    out.number(ATTRIBUTES.cloneLen, length);
    out.path(ATTRIBUTES.path, path);
    out.bytes(ATTRIBUTES.cloneUuid, snapshot.uuid);
    out.number(ATTRIBUTES.cloneCtransid, Number(snapshot.ctransid));
    out.path(ATTRIBUTES.clonePath, clonePath);
    out.number(ATTRIBUTES.cloneOffset, source);
    out.end();
  }
}
