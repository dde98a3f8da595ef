import { deflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { concatBytes, toBytes } from "../bytes/bytes.ts";
import { StreamWriter } from "../stream/writer.ts";
import { checkEncoded, type EncodedThreads } from "./encoded.ts";
import type { VerifyReport } from "./report.ts";
import { verifyStreams } from "./verify.ts";

const WRITES = 100;
const EACH = 100_000;

/** Twelve batches of encoded writes, of which the one at `broken` does not decode. */
async function* manyWrites(broken: number): AsyncGenerator<Uint8Array> {
  const noise = Uint8Array.from({ length: EACH }, (_, at) => Math.imul(at + 1, 0x9e3779b1) >>> 24);
  const data = new Uint8Array(deflateSync(noise, { level: 0 }));
  const chunks: Uint8Array[] = [];
  const writer = new StreamWriter({ write: (chunk) => void chunks.push(chunk.slice()) }, { version: 2 });
  const path = toBytes("f");
  writer.begin();
  writer.write({ name: "subvol", path: toBytes("s"), uuid: new Uint8Array(16).fill(1), ctransid: 1n });
  writer.write({ name: "mkfile", path, ino: 257n });
  for (let write = 0; write < WRITES; write++) {
    writer.write({
      name: "encodedWrite",
      path,
      fileOffset: BigInt(write * EACH),
      unencodedFileLen: BigInt(EACH),
      unencodedLen: BigInt(EACH),
      unencodedOffset: 0n,
      compression: 1,
      encryption: 0,
      data: write === broken ? data.map((byte) => byte ^ 0xff) : data,
    });
    await writer.drain();
    yield concatBytes(chunks.splice(0));
  }
  writer.write({ name: "end" });
  await writer.flush();
  yield concatBytes(chunks);
}

/** Threads that are not there: each batch is finished when `release` says so. */
class SlowThreads implements EncodedThreads {
  readonly capacity = 2;
  underWay = 0;
  most = 0;
  taken = 0;
  readonly #finish: (() => void)[] = [];

  async check(batch: Parameters<EncodedThreads["check"]>[0]) {
    this.taken++;
    this.most = Math.max(this.most, ++this.underWay);
    await new Promise<void>((resolve) => this.#finish.push(resolve));
    this.underWay--;
    return checkEncoded(batch);
  }

  /** Each turn one batch comes back. */
  async turn(): Promise<void> {
    this.#finish.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Also while nobody turns. */
  releaseAll(): NodeJS.Timeout {
    return setInterval(() => this.#finish.shift()?.(), 1);
  }
}

test.each([0, 50, WRITES - 1])("threads and the calling thread find the same, write %i", async (broken) => {
  const alone = await verifyStreams([manyWrites(broken)]);
  const threads = new SlowThreads();
  const timer = threads.releaseAll();
  let shared: VerifyReport;
  try {
    shared = await verifyStreams([manyWrites(broken)], { threads });
  } finally {
    clearInterval(timer);
  }
  expect(shared).toEqual(alone);
  expect(alone.faults.map(({ lost }) => lost[0]!.from)).toEqual([BigInt(broken * EACH)]);
  expect(threads.taken).toBeGreaterThan(1);
  expect(threads.most).toBeLessThanOrEqual(threads.capacity);
});

test("while the threads have enough to do, the calling thread decodes the rest", async () => {
  let taken = 0;
  let release = (): void => {};
  const stuck = new Promise<void>((resolve) => {
    release = resolve;
  });
  const threads: EncodedThreads = {
    capacity: 1,
    async check(batch) {
      taken++;
      await stuck;
      return checkEncoded(batch);
    },
    turn: async () => {},
  };
  const report = await verifyStreams([manyWrites(-1)], {
    threads,
    onProgress: ({ commands }) => commands > WRITES && release(),
  });
  expect(report.sound).toBe(true);
  // The second one came when it was let go, at the end.
  expect(taken).toBeLessThanOrEqual(2);
});

test("verifying ends with the error of a thread that failed", async () => {
  const failed = new Error("no thread");
  const threads: EncodedThreads = { capacity: 3, check: () => Promise.reject(failed), turn: async () => {} };
  await expect(verifyStreams([manyWrites(-1)], { threads })).rejects.toBe(failed);
});
