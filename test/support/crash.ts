import { equalBytes } from "../../src/bytes/bytes.ts";
import { OverlayDevice } from "../../src/device/overlay.ts";
import type { ByteSource, ByteStore } from "../../src/device/source.ts";
import type { Random } from "../kernel/support/random.ts";

/** A write between the moments when it was asked for and when it was done. */
interface Recorded {
  readonly device: number;
  readonly at: number;
  readonly data: Uint8Array;
  readonly issued: number;
  resolved: number;
}

interface Flushed {
  readonly device: number;
  readonly called: number;
  readonly resolved: number;
}

/** What several stores were asked to do, on one clock. */
export class CrashLog {
  time = 0;
  writes: Recorded[] = [];
  flushes: Flushed[] = [];

  clear(): void {
    this.writes = [];
    this.flushes = [];
    this.time = 0;
  }

  /** The moments around each flush, and one before and one behind everything. */
  get boundaries(): number[] {
    return [
      ...new Set([-1, ...this.flushes.flatMap(({ called, resolved }) => [called, resolved - 1, resolved]), this.time]),
    ];
  }

  /**
   * The devices after a crash at `time`. What had been done when a flush was asked for that had ended by then is there;
   * of what else had been asked for, any part is, in any order, torn at any 512 bytes.
   */
  async crashed(bases: readonly ByteSource[], time: number, random: Random): Promise<OverlayDevice[]> {
    const devices: OverlayDevice[] = [];
    for (const [index, base] of bases.entries()) {
      const device = new OverlayDevice(base);
      const flushed = Math.max(
        -1,
        ...this.flushes.filter((flush) => flush.device === index && flush.resolved <= time).map(({ called }) => called),
      );
      const issued = this.writes.filter((write) => write.device === index && write.issued <= time);
      for (const { at, data, resolved } of issued) if (resolved < flushed) await device.write(at, data);
      const loose = issued.filter(({ resolved }) => resolved >= flushed);
      for (const { at, data } of shuffled(loose, random)) await writeTorn(device, at, data, random);
      devices.push(device);
    }
    return devices;
  }
}

/** A store that keeps all writes and flushes. */
export class RecordingStore implements ByteStore {
  readonly name = "recording";
  readonly #store: ByteStore;
  readonly #log: CrashLog;
  readonly #device: number;

  constructor(store: ByteStore, log: CrashLog, device = 0) {
    this.#store = store;
    this.#log = log;
    this.#device = device;
  }

  get size(): number {
    return this.#store.size;
  }

  read(at: number, target: Uint8Array): Promise<void> {
    return this.#store.read(at, target);
  }

  async write(at: number, data: Uint8Array): Promise<void> {
    const log = this.#log;
    const record = {
      device: this.#device,
      at,
      data: data.slice(),
      issued: log.time++,
      resolved: Number.POSITIVE_INFINITY,
    };
    log.writes.push(record);
    await this.#store.write(at, record.data);
    await later();
    if (!equalBytes(data, record.data)) throw new Error(`what is written at ${at} changed before it was done`);
    record.resolved = log.time++;
  }

  async flush(): Promise<void> {
    const called = this.#log.time++;
    await later();
    this.#log.flushes.push({ device: this.#device, called, resolved: this.#log.time++ });
  }

  resize(size: number): Promise<void> {
    return this.#store.resize(size);
  }
}

function later(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function writeTorn(device: ByteStore, at: number, data: Uint8Array, random: Random): Promise<void> {
  const fate = random.between(0, 3);
  if (fate === 0) return;
  if (fate > 1) return device.write(at, data);
  for (let from = 0; from < data.byteLength; from += 512) {
    if (random.chance(50)) await device.write(at + from, data.subarray(from, from + 512));
  }
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const mixed = [...items];
  for (let index = mixed.length - 1; index > 0; index--) {
    const other = random.between(0, index);
    [mixed[index], mixed[other]] = [mixed[other]!, mixed[index]!];
  }
  return mixed;
}
