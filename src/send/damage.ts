import { BtrfsError } from "../errors.ts";
import { COMPRESS_NONE, FILE_EXTENT_REG } from "../format/file-extent.ts";
import { itemsOf } from "../format/key.ts";
import { EXTENT_DATA } from "../format/key-type.ts";
import { COMMANDS } from "../stream/commands.ts";
import type { ChunkFiller } from "./chunk.ts";
import { ChunkQueue } from "./chunk-queue.ts";
import { FileData } from "./file-data.ts";
import { readFileItem } from "./file-item.ts";
import { hasChecksums, type InodeFacts } from "./inode-facts.ts";
import { CommandOutput } from "./output.ts";
import { join, pathIn } from "./path-bytes.ts";
import type { Snapshot } from "./snapshot.ts";
import type { SendSource } from "./source.ts";
import { whenRead } from "./unread.ts";

/** A file that was not sent, and why. */
export interface LeftOut {
  readonly inode: number;
  /** All that it has in the snapshot. */
  readonly paths: readonly Uint8Array[];
  readonly error: BtrfsError;
}

const PROTOCOL = 2;
const STEP_BYTES = 131_072;

/** Reads, verifies and decodes all of a file before anything of it is sent. */
export class DamageCheck {
  readonly #source: SendSource;
  readonly #snapshot: Snapshot;
  readonly #filler: ChunkFiller;
  readonly #compressed: boolean;
  readonly leftOut = new Map<number, LeftOut>();

  /** @param compressed Extents are to be sent as they are stored. */
  constructor(source: SendSource, snapshot: Snapshot, compressed: boolean) {
    this.#source = source;
    this.#snapshot = snapshot;
    this.#filler = source.filler(snapshot, true);
    this.#compressed = compressed;
  }

  /** Whether all of it can be read; if not, it is remembered. Damage of the tree itself is thrown. */
  async isGood(inode: number, facts: InodeFacts): Promise<boolean> {
    const { sectorSize } = this.#source;
    const out = new CommandOutput(new ChunkQueue(this.#filler, { write: () => {} }), PROTOCOL);
    const data = new FileData(this.#source, out);
    for await (const { leaf, first, last } of this.#snapshot.tree.leaves(itemsOf(BigInt(inode), EXTENT_DATA))) {
      for (let slot = first; slot < last; slot++) {
        try {
          const item = readFileItem(leaf, slot, sectorSize);
          if (item.type === FILE_EXTENT_REG && item.diskBytenr === 0) continue;
          const end = Math.min(item.end, facts.size);
          for (let at = item.start; at < end; at += STEP_BYTES) {
            out.begin(COMMANDS.write);
            data.plain(item, at, Math.min(STEP_BYTES, end - at), inode, hasChecksums(facts));
            out.end();
            if (out.isFull) await out.drain();
          }
          const isStored = item.type === FILE_EXTENT_REG && item.compression !== COMPRESS_NONE && item.start < end;
          if (this.#compressed && isStored) {
            // Of what is mounted, the page cache may have what can't be read from the device any more.
            out.begin(COMMANDS.encodedWrite);
            data.stored(item, inode, hasChecksums(facts));
            out.end();
          }
        } catch (error) {
          return await this.#remember(inode, error);
        }
      }
    }
    try {
      await out.flush();
    } catch (error) {
      return await this.#remember(inode, error);
    }
    return true;
  }

  async #remember(inode: number, error: unknown): Promise<false> {
    if (!(error instanceof BtrfsError)) throw error;
    const paths: Uint8Array[] = [];
    for (const { dir, name } of await whenRead(() => this.#snapshot.allNames(inode))) {
      paths.push(join(await whenRead(() => pathIn(this.#snapshot, dir)), name));
    }
    this.leftOut.set(inode, { inode, paths, error });
    return false;
  }
}
