import { toBytes } from "../bytes/bytes.ts";
import { displayName } from "../bytes/display.ts";
import { formatUuid } from "../bytes/uuid.ts";
import { type Compress, makeEncoder } from "../codec/encoder.ts";
import { writeFileNow } from "../edit/file.ts";
import * as edit from "../edit/index.ts";
import { readInode } from "../edit/inode.ts";
import { type Packer, packPieces } from "../edit/pack.ts";
import { FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { COMMANDS } from "../stream/commands.ts";
import type { MaybePromise } from "../transaction/editor.ts";
import type { Transaction } from "../transaction/transaction.ts";
import type { WritableVolume } from "../transaction/writable.ts";
import { isNamedNext } from "./birth.ts";
import { CommandError } from "./command-error.ts";
import { CompressAhead, GATHERED_BYTES, type Run } from "./compress-ahead.ts";
import { EncodedTally } from "./encoded-tally.ts";
import { type ImageWork, imageCommands, makeNamed } from "./image-commands.ts";
import { ImagePaths } from "./image-paths.ts";
import { findReceived } from "./image-sources.ts";
import {
  type CommandHandlers,
  commandRunner,
  parentMissing,
  type ReceiveTarget,
  type Report,
  type RunCommand,
  type SubvolumeStart,
  type Unfinished,
} from "./target.ts";

export interface ImageTargetOptions {
  /** The subvolume and the directory in it that get what is received; the top of the filesystem by default. */
  readonly tree?: bigint | undefined;
  readonly directory?: bigint | undefined;
  /** Compresses plain writes where that pays. */
  readonly compress?: Compress | undefined;
  /** What compresses; the calling thread by default. */
  readonly packer?: Packer | undefined;
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
const WRITE = COMMANDS.write.number;

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

/** Plain data that follows each other, of one file. */
interface Gathered {
  readonly inode: bigint;
  readonly offset: bigint;
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
  #buffer = new Uint8Array(0);
  #at: edit.Place | undefined;
  #ahead: CompressAhead | undefined;
  /** What the command that runs writes, compressed. */
  #run: Run | undefined;
  readonly #work: ImageWork;
  readonly #handlers: CommandHandlers;
  readonly #carryOut: RunCommand;

  constructor(volume: WritableVolume, options: ImageTargetOptions = {}) {
    this.#volume = volume;
    this.#options = options;
    this.#now = options.now ?? (() => BigInt(Date.now()) * 1_000_000n);
    this.#work = this.#newWork();
    this.#handlers = imageCommands(this.#work);
    this.#carryOut = commandRunner(this.#handlers);
  }

  async begin(start: SubvolumeStart, report: Report): Promise<void> {
    const tx = await this.#begun();
    try {
      this.#ahead ??= await compressAhead(this.#options, tx.volume.sectorSize);
      const at = { tx, tree: this.#options.tree ?? 5n, now: this.#now() };
      const directory = this.#options.directory ?? FIRST_FREE_OBJECTID;
      let id: bigint;
      if (start.parent === undefined) {
        id = await edit.createSubvolume(at, directory, start.name, { attributes: { ownAccess: true } });
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
    const ahead = this.#ahead;
    if (ahead === undefined) return this.#apply(batch, first, last);
    if (this.#open!.failed) return;
    ahead.take(batch, first, last);
    while (ahead.isFull) await this.#applyWaiting();
  }

  /** @returns Whether anything waited. */
  async #applyWaiting(): Promise<boolean> {
    const waiting = this.#ahead?.next();
    if (waiting === undefined) return false;
    await this.#apply(waiting.batch, 0, waiting.batch.count, waiting.runs);
    this.#ahead!.done(waiting);
    return true;
  }

  /** @param runs What to write in place of the data of plain writes, by the last of those that bring it. */
  async #apply(batch: CommandBatch, first: number, last: number, runs?: ReadonlyMap<number, Run>): Promise<void> {
    const open = this.#open!;
    // One time for all of a batch: commands take microseconds.
    const now = this.#now();
    for (let i = first; i < last && !open.failed; i++) {
      this.#run = runs?.get(i);
      if (runs !== undefined && this.#run === undefined && batch.type(i) === WRITE) continue;
      try {
        const tx = this.#tx ?? (await this.#begun());
        if (this.#at?.tx !== tx || this.#at.now !== now) this.#at = { tx, tree: open.id, now };
        if (this.#gathered !== undefined && batch.type(i) !== WRITE) {
          const written = this.#writeGathered();
          if (written !== undefined) await written;
        }
        const named = isNamedNext(batch, i, last) && makeNamed(this.#work, this.#handlers, batch, i);
        if (named instanceof Promise ? await named : named) i++;
        else {
          const done = this.#carryOut(batch, i);
          if (done !== undefined) await done;
        }
        if (tx.isFull) await tx.relieve();
      } catch (error) {
        this.#fail(open, CommandError.of(batch, i, error));
        return;
      }
      if (this.#isTimeToCommit()) await this.#attempt(open, () => this.#commit());
    }
  }

  async drain(): Promise<void> {
    const open = this.#open;
    while (await this.#applyWaiting());
    if (open !== undefined && !open.failed) await this.#attempt(open, async () => this.#writeGathered());
  }

  async complete(): Promise<void> {
    const { start, id } = this.#open!;
    await this.#writeGathered();
    const at = { tx: await this.#begun(), tree: id, now: this.#now() };
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
    this.#ahead?.forget();
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

  #newWork(): ImageWork {
    const target = this;
    const { compress, forceDecompress } = this.#options;
    return {
      get at() {
        return target.#at!;
      },
      get paths() {
        return target.#open!.paths;
      },
      get uuid() {
        return target.#open!.start.uuid;
      },
      encoded: this.encoded,
      get options() {
        return { compress: compress && { ...compress, pack: target.#ahead?.pack }, forceDecompress };
      },
      gather: (inode, offset, data) => target.#gather(inode, offset, data),
      noteData(bytes) {
        target.#dataBytes += bytes;
      },
      noteWithoutData() {
        target.withoutData++;
      },
    };
  }

  /** Keeps plain data back while more may follow: one long extent in place of many short ones. */
  #gather(inode: bigint, offset: bigint, data: Uint8Array): MaybePromise<void> {
    if (this.#run !== undefined) return this.#writeRun(inode, this.#run);
    const known = this.#gathered;
    if (known !== undefined) {
      const follows = known.inode === inode && known.offset + BigInt(known.length) === offset;
      if (!follows || known.length + data.byteLength > GATHERED_BYTES) {
        const written = this.#writeGathered();
        if (written !== undefined) return written.then(() => this.#gather(inode, offset, data));
      }
    }
    this.#gathered ??= { inode, offset, length: 0 };
    const from = this.#gathered.length;
    const length = from + data.byteLength;
    if (length > this.#buffer.byteLength) {
      const grown = new Uint8Array(Math.max(length, Math.min(2 * length, GATHERED_BYTES)));
      grown.set(this.#buffer.subarray(0, from));
      this.#buffer = grown;
    }
    this.#buffer.set(data, from);
    this.#gathered.length = length;
  }

  #writeRun(inode: bigint, run: Run): Promise<void> {
    const at = this.#at!;
    this.#dataBytes += run.length;
    const compress = this.#options.compress!;
    return this.#ahead!.use(run, (data, pack) =>
      writeFileNow(at, inode, run.offset, data, { compress: { ...compress, pack } }),
    );
  }

  #writeGathered(): MaybePromise<void> {
    const gathered = this.#gathered;
    const at = this.#at;
    if (gathered === undefined || at === undefined) return;
    this.#gathered = undefined;
    this.#dataBytes += gathered.length;
    const data = this.#buffer.subarray(0, gathered.length);
    return writeFileNow(at, gathered.inode, gathered.offset, data);
  }
}

async function compressAhead(
  { compress, packer }: ImageTargetOptions,
  sectorSize: number,
): Promise<CompressAhead | undefined> {
  if (compress === undefined) return undefined;
  if (packer !== undefined) return new CompressAhead(packer, sectorSize);
  const encode = await makeEncoder(compress, sectorSize);
  return new CompressAhead({ run: (job) => packPieces(job, encode) }, sectorSize);
}
