import { equalBytes } from "../bytes/bytes.ts";
import { ATTRIBUTES } from "../stream/attributes.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { COMMANDS } from "../stream/commands.ts";
import type { LostRange } from "./report.ts";

const PATH = ATTRIBUTES.path.number;
const NO_PATH = new Uint8Array(0);

/** Commands that make a name: behind one of these nothing of the file can have been lost yet. */
const MAKES = new Set<number>(
  [COMMANDS.mkfile, COMMANDS.mkdir, COMMANDS.mknod, COMMANDS.mkfifo, COMMANDS.mksock, COMMANDS.symlink].map(
    ({ number }) => number,
  ),
);

const SUBVOLUMES = new Set<number>([COMMANDS.subvol.number, COMMANDS.snapshot.number]);

/** What the commands on both sides of a gap tell about what stood in it. */
export class LossTracker {
  #path: Uint8Array = NO_PATH;
  /** Where the data that the stream has written so far to `#path` ends. */
  #end = 0n;

  /** Takes note of where the batch ends, in case that a gap follows. */
  pass(batch: CommandBatch): void {
    const last = lastWithPath(batch);
    if (last < 0) return;
    // The path of a subvolume is its own name.
    if (SUBVOLUMES.has(batch.type(last))) {
      this.reset();
      return;
    }
    const path = pathOf(batch, last);
    let end = equalBytes(path, this.#path) ? this.#end : 0n;
    for (let i = last; i >= 0; i--) {
      if (SUBVOLUMES.has(batch.type(i))) break;
      const range = dataRange(batch, i);
      if (range === undefined) continue;
      if (equalBytes(batch.value(i, PATH)!, path)) end = range.end;
      break;
    }
    this.#path = path.slice();
    this.#end = end;
  }

  /** A new subvolume: what came before can't go on. */
  reset(): void {
    this.#path = NO_PATH;
    this.#end = 0n;
  }

  /** What may be lost in a gap that is followed by nothing more of the subvolume. */
  atEnd(): LostRange[] {
    return this.#path.byteLength === 0 ? [] : [{ path: this.#path, from: this.#end }];
  }

  /** What may be lost in a gap before command `i`. */
  before(batch: CommandBatch, i: number): LostRange[] {
    const type = batch.type(i);
    if (SUBVOLUMES.has(type)) return this.atEnd();
    const path = batch.value(i, PATH);
    if (path === undefined) return this.atEnd();
    const range = dataRange(batch, i);
    const same = equalBytes(path, this.#path);
    const to = range?.start ?? (type === COMMANDS.truncate.number ? batch.u64(i, ATTRIBUTES.size.number) : undefined);
    if (same) {
      if (to === undefined) return this.atEnd();
      return to > this.#end ? [{ path: this.#path, from: this.#end, to }] : [];
    }
    const lost = this.atEnd();
    if (!MAKES.has(type) && path.byteLength > 0 && to !== 0n) {
      lost.push(to === undefined ? { path: path.slice() } : { path: path.slice(), from: 0n, to });
    }
    return lost;
  }
}

/** The file bytes that command `i` writes; `undefined` when it writes none. */
export function dataRange(
  batch: CommandBatch,
  i: number,
): { readonly start: bigint; readonly end: bigint } | undefined {
  const length = dataLength(batch, i);
  if (length === undefined) return undefined;
  const start = batch.u64(i, ATTRIBUTES.fileOffset.number);
  return { start, end: start + length };
}

function dataLength(batch: CommandBatch, i: number): bigint | undefined {
  switch (batch.type(i)) {
    case COMMANDS.write.number:
      return BigInt(batch.valueLength(batch.find(i, ATTRIBUTES.data.number)));
    case COMMANDS.encodedWrite.number:
      return batch.u64(i, ATTRIBUTES.unencodedFileLen.number);
    case COMMANDS.clone.number:
      return batch.u64(i, ATTRIBUTES.cloneLen.number);
    case COMMANDS.updateExtent.number:
      return batch.u64(i, ATTRIBUTES.size.number);
    default:
      return undefined;
  }
}

function lastWithPath(batch: CommandBatch): number {
  for (let i = batch.count - 1; i >= 0; i--) if (batch.has(i, PATH)) return i;
  return -1;
}

/** The name that the command leaves: a rename, the new one. */
function pathOf(batch: CommandBatch, i: number): Uint8Array {
  const renamed = batch.type(i) === COMMANDS.rename.number ? batch.value(i, ATTRIBUTES.pathTo.number) : undefined;
  return renamed ?? batch.value(i, PATH)!;
}
