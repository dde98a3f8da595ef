import { S_IFREG } from "../format/inode.ts";
import { type ContentJob, type ContentResult, type ContentRunner, JOB_BYTES } from "./content.ts";
import type { NameTable } from "./name-table.ts";
import type { TreeSource } from "./source.ts";

const MOST_FILES = 256;

/** A job, and of what it is. */
interface Planned {
  readonly entries: readonly number[];
  readonly job: ContentJob;
  /** No other job follows for the last of its files. */
  readonly isLast: boolean;
}

export interface ReadContent {
  readonly entries: readonly number[];
  readonly isLast: boolean;
  readonly result: ContentResult;
}

/** Contents of the files of a table in the order of their numbers, read ahead. */
export class ContentStream {
  readonly #runner: ContentRunner;
  readonly #jobs: AsyncGenerator<Planned>;
  readonly #buffers: ArrayBuffer[];
  readonly #ahead: { readonly planned: Planned; readonly result: Promise<ContentResult> }[] = [];
  #isEnded = false;

  /** @param buffers Those that results have left, to be used again. */
  constructor(runner: ContentRunner, jobs: AsyncGenerator<Planned>, buffers: ArrayBuffer[]) {
    this.#runner = runner;
    this.#jobs = jobs;
    this.#buffers = buffers;
  }

  async next(): Promise<ReadContent> {
    await this.#fill();
    const { planned, result } = this.#ahead.shift()!;
    await this.#fill();
    return { entries: planned.entries, isLast: planned.isLast, result: await result };
  }

  async #fill(): Promise<void> {
    while (!this.#isEnded && this.#ahead.length < this.#runner.width) {
      const next = await this.#jobs.next();
      if (next.done === true) {
        this.#isEnded = true;
        return;
      }
      const buffer = this.#buffers.pop();
      const result = this.#runner.run(buffer === undefined ? next.value.job : { ...next.value.job, buffer });
      // It is awaited when its turn comes; until then nobody hears of its failure.
      result.catch(() => {});
      this.#ahead.push({ planned: next.value, result });
    }
  }
}

/** @param isRead Whether the content of an entry is to be read. */
export async function* contentJobs(
  source: TreeSource,
  names: NameTable,
  sectorSize: number,
  isRead: (entry: number) => boolean,
): AsyncGenerator<Planned> {
  let entries: number[] = [];
  let bytes = 0;
  for (let entry = 0; entry < names.count; entry++) {
    if (names.type(entry) !== S_IFREG || names.isLink(entry) || !isRead(entry)) continue;
    const size = names.size(entry);
    const room = Math.ceil(size / sectorSize) * sectorSize;
    if (entries.length > 0 && (bytes + room > JOB_BYTES || entries.length === MOST_FILES)) {
      yield jobOf(names, entries);
      entries = [];
      bytes = 0;
    }
    if (size > JOB_BYTES) {
      yield* largeJobs(source, names, entry, sectorSize);
    } else {
      entries.push(entry);
      bytes += room;
    }
  }
  if (entries.length > 0) yield jobOf(names, entries);
}

function jobOf(names: NameTable, entries: readonly number[]): Planned {
  const ranges = new Float64Array(entries.length * 3);
  for (const [index, entry] of entries.entries()) ranges.set([names.size(entry), 0, names.size(entry)], index * 3);
  return { entries, isLast: true, job: { paths: entries.map((entry) => names.path(entry)), ranges } };
}

/** The parts of a large file that have data; at least one job, for its attributes. */
async function* largeJobs(
  source: TreeSource,
  names: NameTable,
  entry: number,
  sectorSize: number,
): AsyncGenerator<Planned> {
  const path = names.path(entry);
  const size = names.size(entry);
  const file = await source.open(path);
  try {
    const plan = (start: number, end: number, isLast: boolean): Planned => {
      return { entries: [entry], isLast, job: { paths: [path], ranges: Float64Array.of(size, start, end) } };
    };
    // The first one brings the attributes: it starts at 0.
    let start = 0;
    let end = 0;
    for (let at = 0; at < size; ) {
      const found = file.nextData === undefined ? { start: at, end: size } : await file.nextData(at);
      if (found === undefined) break;
      let from = Math.max(Math.floor(found.start / sectorSize) * sectorSize, at);
      const to = Math.min(Math.ceil(found.end / sectorSize) * sectorSize, size);
      while (from < to) {
        const last = Math.min(from - (from % JOB_BYTES) + JOB_BYTES, to);
        if (start > 0 || end > 0 || from > 0) yield plan(start, end, false);
        [start, end] = [from, last];
        from = last;
      }
      at = Math.max(to, at + 1);
    }
    yield plan(start, end, true);
  } finally {
    await file.close();
  }
}
