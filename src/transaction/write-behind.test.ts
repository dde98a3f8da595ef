import { expect, test, vi } from "vitest";
import { WriteBehind } from "./write-behind.ts";

const MIB = 1 << 20;

/** Gives `mib` MiB that lie together. */
async function fill(out: WriteBehind, mib: number): Promise<void> {
  for (let at = 0; at < mib * MIB; ) {
    if (out.isBusy) await out.room();
    at += out.place(at, mib * MIB - at).byteLength;
  }
}

test("what is long is flushed while more comes, one flush at a time", async () => {
  let running = 0;
  let most = 0;
  const flush = vi.fn(async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 5));
    running--;
  });
  const out = new WriteBehind(async () => {}, flush);
  await fill(out, 200);
  await out.drain();
  expect(flush.mock.calls.length).toBeGreaterThanOrEqual(1);
  expect([most, running]).toEqual([1, 0]);
});

test("what is short is left to the commit", async () => {
  const flush = vi.fn(async () => {});
  const out = new WriteBehind(async () => {}, flush);
  await fill(out, 63);
  await out.drain();
  expect(flush).not.toHaveBeenCalled();
});

// The device has told of it, and need not do so again when the commit flushes.
test("a flush that fails on the way fails the transaction", async () => {
  const out = new WriteBehind(
    async () => {},
    async () => Promise.reject(new Error("lost")),
  );
  const filled = fill(out, 80).then(() => out.drain());
  await expect(filled).rejects.toThrow("lost");
  await out.settle();
  expect(out.flushFailure).toMatchObject({ error: new Error("lost") });
});
