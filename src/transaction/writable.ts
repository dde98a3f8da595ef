import { isStore } from "../device/slice.ts";
import type { ByteStore } from "../device/source.ts";
import { BtrfsError } from "../errors.ts";
import { INCOMPAT_MIXED_GROUPS } from "../format/superblock.ts";
import { openVolume, type VolumeOptions } from "../volume/open.ts";
import type { Volume } from "../volume/volume.ts";
import { settle, Writer } from "./commit.ts";
import { storeOf } from "./data-store.ts";
import { spaceRecords } from "./records.ts";
import { checkWritable } from "./refusals.ts";
import { Space } from "./space.ts";
import { Transaction } from "./transaction.ts";

export interface WritableOptions extends Pick<VolumeOptions, "cacheBytes" | "onEvent"> {
  /** Makes the store longer when no space is left, and the filesystem with it. For a single device. */
  readonly enlarge?: boolean | undefined;
}

/**
 * Opens a filesystem to change it: all of its devices. Nothing else may have it open: whoever opens the stores sees to that.
 *
 * @throws {BtrfsError} as `openVolume`; `unsupported` or `busy` for what can be read and must not be written, by name.
 */
export async function openWritableVolume(
  stores: readonly ByteStore[],
  options: WritableOptions = {},
): Promise<WritableVolume> {
  for (const store of stores) {
    if (!isStore(store)) throw new BtrfsError("permission", "Cannot write: the device is open for reading only");
  }
  const volume = await openVolume(stores, options);
  await checkWritable(volume);
  return new WritableVolume(volume, options.enlarge === true);
}

/** A filesystem that can be changed, one transaction after the other. */
export class WritableVolume implements AsyncDisposable {
  #volume: Volume;
  #space: Space | undefined;
  #running: Transaction | undefined;
  /** Metadata that was left when it began. */
  #left = 0;
  #failure: unknown;
  readonly #enlarges: boolean;
  /** Of a transaction that was abandoned: it would land in what the next one hands out. */
  #writing: Promise<void> | undefined;

  constructor(volume: Volume, enlarge = false) {
    this.#volume = volume;
    this.#enlarges = enlarge;
  }

  /** The filesystem as of the last commit: another one after each. */
  get volume(): Volume {
    return this.#volume;
  }

  /**
   * Runs `change` and commits what it did; resolves when that is durable. A throw inside leaves the filesystem as it was.
   *
   * @throws {BtrfsError} `space`, `busy` while another transaction runs, `io` after a failure that left it unknown what
   * is on the devices.
   */
  async transaction<T>(change: (tx: Transaction) => Promise<T>): Promise<T> {
    const tx = await this.begin();
    let result: T;
    try {
      result = await change(tx);
    } catch (error) {
      this.abandon(tx);
      throw error;
    }
    await this.commit(tx);
    return result;
  }

  /**
   * Begins a transaction that the caller ends, by `commit` or `abandon`.
   *
   * @throws {BtrfsError} as `transaction`.
   */
  async begin(): Promise<Transaction> {
    const writing = this.#writing;
    if (writing !== undefined) await writing;
    if (this.#running !== undefined) throw new BtrfsError("busy", "Cannot begin transaction: another one is running");
    if (this.#failure !== undefined) {
      throw new BtrfsError("io", "Cannot begin transaction: the last one failed while it was made durable", {
        cause: this.#failure,
      });
    }
    this.#space ??= this.#newSpace();
    const tx = new Transaction(this.#volume, this.#space);
    this.#running = tx;
    try {
      await tx.open();
      this.#left = await this.#space.metadataLeft();
    } catch (error) {
      this.abandon(tx);
      throw error;
    }
    return tx;
  }

  /** Makes a transaction durable. It is over then, also where this throws: the filesystem is as it was before. */
  async commit(tx: Transaction): Promise<void> {
    this.#demand(tx);
    const writer = new Writer(tx);
    try {
      if (tx.dirtyBytes > 0 || tx.refs.size > 0 || tx.space.resized.size > 0) {
        await settle(tx);
        if (tx.adds) await tx.space.demandReserve(this.#left);
        await writer.writeBlocks();
        await tx.data.drain();
      }
    } catch (error) {
      this.abandon(tx);
      throw error;
    }
    this.#running = undefined;
    if (tx.dirtyBytes === 0) return;
    try {
      const targets = await writer.prepareSuperblock();
      await writer.flush();
      await writer.writeSuperblocks(targets);
    } catch (error) {
      this.#failure = error;
      throw error;
    }
    const resized = new Map(tx.space.resized);
    tx.space.committed();
    this.#volume = await this.#volume.after(tx.superblock, tx.space.chunks, tx.nodes.dirty.values(), resized);
  }

  /** Forgets what a transaction did. What it handed out is free, as the last commit has it. */
  abandon(tx: Transaction): void {
    this.#demand(tx);
    this.#running = undefined;
    this.#space = undefined;
    this.#writing = tx.data.settle().then((failure) => {
      this.#failure ??= failure;
    });
  }

  /**
   * Makes the filesystem, and then its store, as short as its chunks let it be. For a single device.
   *
   * @param spareBytes Left behind the last chunk, for chunks to come.
   * @param leastBytes What the filesystem has at least, if it is so long.
   * @returns Bytes of the filesystem.
   */
  async shrinkToFit(spareBytes = 0, leastBytes = 0): Promise<number> {
    const [device, another] = this.#volume.devices.values();
    if (device?.totalBytes === undefined || another !== undefined) {
      throw new BtrfsError("unsupported", "Cannot shrink filesystem: it has several devices");
    }
    const { devid } = device;
    await this.transaction(async ({ space, volume }) => {
      const ends = space.chunks.chunks.flatMap(({ stripes, stripeLength }) =>
        stripes.map(({ physical }) => physical + stripeLength),
      );
      const fitting = Math.max(...ends.map((end) => end + spareBytes), leastBytes);
      const wanted = Math.ceil(fitting / volume.sectorSize) * volume.sectorSize;
      if (wanted < device.totalBytes!) space.resize(devid, wanted);
    });
    const { totalBytes } = this.#volume.devices.get(devid)!;
    await storeOf(this.#volume, devid).resize(totalBytes!);
    return totalBytes!;
  }

  async close(): Promise<void> {
    if (this.#running !== undefined) this.abandon(this.#running);
    await this.#writing;
    await this.#volume.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #demand(tx: Transaction): void {
    if (this.#running !== tx) throw new TypeError("Cannot end transaction: it is over");
  }

  async #enlarge(devid: number, totalBytes: number): Promise<void> {
    const store = storeOf(this.#volume, devid);
    // What was abandoned may have left it longer.
    if (store.size < totalBytes) await store.resize(totalBytes);
  }

  #newSpace(): Space {
    const { chunks, devices, nodeSize, sectorSize, superblock } = this.#volume;
    return new Space({
      chunks: chunks.chunks,
      devices: [...devices.values()].map(({ devid, uuid, totalBytes }) => ({
        devid,
        uuid,
        totalBytes: totalBytes ?? 0,
      })),
      nodeSize,
      sectorSize,
      enlarge: this.#enlarges ? (devid, totalBytes) => this.#enlarge(devid, totalBytes) : undefined,
      mixed: (superblock.incompatFlags & INCOMPAT_MIXED_GROUPS) !== 0n,
      bytesUsed: Number(superblock.bytesUsed),
      records: spaceRecords(() => this.#volume),
    });
  }
}
