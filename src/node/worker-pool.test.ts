import { deflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { COMPRESSION, DECODED, LENGTH, newEncodedBatch, RESULT, ROW, START } from "../verify/encoded.ts";
import { WorkerPool } from "./worker-pool.ts";

test("threads start whatever flags this process has, and do their jobs with the codecs of this host", async () => {
  const pool = new WorkerPool(2);
  try {
    const jobs = Array.from({ length: 4 }, (_, n) => {
      const batch = newEncodedBatch();
      const data = deflateSync(Buffer.alloc(1000 * (n + 1)));
      batch.bytes.set(data);
      batch.table.set([1, 0, data.byteLength, 131_072], 0);
      batch.count = 1;
      return pool.run("checkEncoded", batch, [batch.bytes.buffer, batch.table.buffer]);
    });
    const results = (await Promise.all(jobs)).map(({ table }) => table[RESULT]);
    expect(results).toEqual([1000, 2000, 3000, 4000]);
    expect([COMPRESSION, START, LENGTH, DECODED, ROW]).toEqual([0, 1, 2, 3, 5]);
  } finally {
    await pool.close();
  }
});

test("a thread that can't start fails its jobs", async () => {
  const pool = new WorkerPool(1, { url: new URL("data:text/javascript,throw new Error('no')") });
  await expect(pool.run("checkEncoded", newEncodedBatch())).rejects.toThrow(/worker thread ended before/);
  await pool.close();
});
