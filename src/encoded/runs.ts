import { BtrfsError } from "../errors.ts";
import { located } from "../fs/located.ts";
import { follows, readParts, type StoredPart } from "../fs/stored.ts";
import type { EncodedExtent, OnUnreadableExtent } from "./extents.ts";
import type { Unit } from "./units.ts";

/** What lies side by side on the disk is read at once, up to so many bytes: they stay in the processor's cache. */
const RUN_BYTES = 1 << 18;
/** Reads that wait for the device run ahead of the extent that is looked at: so many bytes, in so many reads at most. */
const AHEAD_BYTES = 4 << 20;
const RUNS_AHEAD = 16;
/** Of one run, where many need no reading. */
const MAX_UNITS = 1024;

interface RunOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onUnreadable?: OnUnreadableExtent | undefined;
}

/** Units that are read together. */
interface Run {
  readonly units: Unit[];
  readonly parts: StoredPart[];
  byteLength: number;
}

/** What is wrong with which part. */
type Errors = ReadonlyMap<StoredPart, unknown>;

interface Reading {
  readonly run: Run;
  readonly buffer: Uint8Array | undefined;
  readonly errors: Errors | Promise<Errors>;
}

const NONE: Errors = new Map();

/**
 * Reads units, some at a time. Their data is lent until the next ones are asked for.
 *
 * @throws {BtrfsError} for what can't be read, unless `onUnreadable` takes it.
 */
export async function* readRuns(units: AsyncIterable<Unit[]>, options: RunOptions): AsyncGenerator<EncodedExtent[]> {
  const ahead: Reading[] = [];
  let aheadBytes = 0;
  const runs = runsOf(units);
  let isDone = false;
  try {
    for (;;) {
      while (!isDone && aheadBytes < AHEAD_BYTES && ahead.length < RUNS_AHEAD) {
        const next = await runs.next();
        if (next.done) {
          isDone = true;
          break;
        }
        const reading = startReading(next.value, options.signal);
        ahead.push(reading);
        aheadBytes += next.value.byteLength;
        // It is there already: nothing is gained by going on ahead of who looks at it.
        if (!(reading.errors instanceof Promise)) break;
      }
      const reading = ahead[0];
      if (reading === undefined) return;
      const errors = reading.errors instanceof Promise ? await reading.errors : reading.errors;
      const { extents, failure } = extentsOf(reading, errors, options.onUnreadable);
      if (extents.length > 0) yield extents;
      if (failure !== undefined) throw failure;
      ahead.shift();
      aheadBytes -= reading.run.byteLength;
      giveBack(reading);
    }
  } finally {
    await Promise.allSettled(ahead.map(({ errors }) => errors));
    for (const reading of ahead) giveBack(reading);
    await runs.return?.(undefined);
  }
}

async function* runsOf(batches: AsyncIterable<Unit[]>): AsyncGenerator<Run> {
  let run: Run = { units: [], parts: [], byteLength: 0 };
  for await (const batch of batches) {
    for (const unit of batch) {
      const { part } = unit;
      const last = run.parts.at(-1);
      const isFull = run.byteLength + (part?.length ?? 0) > RUN_BYTES || run.units.length >= MAX_UNITS;
      if (isFull || (part !== undefined && last !== undefined && !follows(last, part))) {
        yield run;
        run = { units: [], parts: [], byteLength: 0 };
      }
      run.units.push(unit);
      if (part === undefined) continue;
      run.parts.push(part);
      run.byteLength += part.length;
    }
  }
  if (run.units.length > 0) yield run;
}

function startReading(run: Run, signal: AbortSignal | undefined): Reading {
  const [first] = run.parts;
  if (first === undefined) return { run, buffer: undefined, errors: NONE };
  const buffer = first.inode.subvolume.filesystem.buffers.take(run.byteLength);
  return { run, buffer, errors: readRun(run, buffer, signal) };
}

function giveBack({ run, buffer }: Reading): void {
  if (buffer !== undefined) run.parts[0]?.inode.subvolume.filesystem.buffers.give(buffer);
}

function readRun({ parts }: Run, buffer: Uint8Array, signal: AbortSignal | undefined): Errors | Promise<Errors> {
  const errors = new Map<StoredPart, unknown>();
  const onUnreadable = (at: number, length: number, error: BtrfsError): void => {
    let start = 0;
    for (const part of parts) {
      if (start < at + length && at < start + part.length && !errors.has(part)) {
        errors.set(part, located(error, { ...part.inode.where, fileOffset: part.extent.fileOffset }));
      }
      start += part.length;
    }
  };
  const pending = readParts(parts, buffer, { signal, onUnreadable });
  if (pending === undefined) return NONE;
  const reading = pending.then(
    () => errors,
    (error: unknown) => readSingly(parts, buffer, signal, error),
  );
  // Whoever stops listening does not hear of a failure either.
  reading.catch(() => {});
  return reading;
}

/** What failed was not the data: which of the parts it is about shows one by one. */
async function readSingly(
  parts: readonly StoredPart[],
  buffer: Uint8Array,
  signal: AbortSignal | undefined,
  cause: unknown,
): Promise<Errors> {
  if (!(cause instanceof BtrfsError)) throw cause;
  const errors = new Map<StoredPart, unknown>();
  let start = 0;
  for (const part of parts) {
    try {
      await readParts([part], buffer.subarray(start, start + part.length), { signal });
    } catch (error) {
      errors.set(part, error);
    }
    start += part.length;
  }
  return errors;
}

function extentsOf(
  { run, buffer }: Reading,
  errors: Errors,
  onUnreadable: OnUnreadableExtent | undefined,
): { readonly extents: EncodedExtent[]; readonly failure?: unknown } {
  const extents: EncodedExtent[] = [];
  let at = 0;
  for (const { extent, part, head, byteLength, error } of run.units) {
    const wrong = part === undefined ? error : errors.get(part);
    if (wrong !== undefined) {
      if (onUnreadable === undefined || !(wrong instanceof BtrfsError)) return { extents, failure: wrong };
      onUnreadable(extent, wrong);
    } else {
      if (part !== undefined) extent.data = buffer!.subarray(at + head, at + head + byteLength);
      extents.push(extent);
    }
    at += part?.length ?? 0;
  }
  return { extents };
}
