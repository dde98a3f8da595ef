import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BtrfsError } from "../errors.ts";
import { allDone } from "./all-done.ts";
import { BlobDevice } from "./blob.ts";
import { MemoryDevice } from "./memory.ts";
import { OverlayDevice } from "./overlay.ts";
import { isStore, sliceSource } from "./slice.ts";
import type { ByteSource, ByteStore } from "./source.ts";

const SIZE = 100_000;
const bytes = (): Uint8Array => Uint8Array.from({ length: SIZE }, (_, at) => (at * 31 + (at >> 8)) & 255);

const SOURCES: Record<string, () => ByteSource> = {
  memory: () => new MemoryDevice(bytes()),
  blob: () => new BlobDevice(new Blob([bytes() as Uint8Array<ArrayBuffer>])),
  overlay: () => new OverlayDevice(new MemoryDevice(bytes())),
  slice: () => {
    const whole = new Uint8Array(SIZE + 2000);
    whole.set(bytes(), 1000);
    return sliceSource(new MemoryDevice(whole), 1000, SIZE);
  },
};

describe.each(Object.entries(SOURCES))("%s", (_, make) => {
  test("gives the bytes that are there", async () => {
    const source = make();
    expect(source.size).toBe(SIZE);
    for (const [at, length] of [
      [0, 1],
      [5, 0],
      [99_999, 1],
      [16_380, 20_000],
      [0, SIZE],
    ] as const) {
      const target = new Uint8Array(length);
      await source.read(at, target);
      expect(Buffer.compare(target, bytes().subarray(at, at + length))).toBe(0);
      if (source.readSync === undefined) continue;
      target.fill(0);
      source.readSync(at, target);
      expect(Buffer.compare(target, bytes().subarray(at, at + length))).toBe(0);
    }
  });

  test("refuses to reach past its end", async () => {
    await expect(make().read(SIZE - 1, new Uint8Array(2))).rejects.toMatchObject({ code: "truncated" });
    await expect(make().read(-1, new Uint8Array(1))).rejects.toThrow(BtrfsError);
    await expect(make().read(SIZE + 5, new Uint8Array(0))).rejects.toMatchObject({ code: "truncated" });
  });
});

// Model test: writes, resizes and reads go to the store and to an array; both always hold the same.
test.for(["memory", "overlay"])("%s holds what an array holds after any writes and resizes", async (name) => {
  const step = fc.oneof(
    fc.record({ at: fc.nat(60_000), data: fc.uint8Array({ minLength: 1, maxLength: 40_000, size: "max" }) }),
    fc.record({ size: fc.nat(80_000) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      let model = bytes().slice(0, 50_000);
      const memory = new MemoryDevice(model.slice());
      const store: ByteStore = name === "memory" ? memory : new OverlayDevice(memory);
      for (const action of steps) {
        if ("size" in action) {
          const next = new Uint8Array(action.size);
          next.set(model.subarray(0, action.size));
          model = next;
          await store.resize(action.size);
        } else if (action.at + action.data.byteLength <= model.byteLength) {
          model.set(action.data, action.at);
          await store.write(action.at, action.data);
        } else {
          await expect(store.write(action.at, action.data)).rejects.toMatchObject({ code: "truncated" });
        }
        const whole = new Uint8Array(store.size);
        await store.read(0, whole);
        expect(Buffer.compare(whole, model)).toBe(0);
      }
    }),
    { numRuns: 10 },
  );
});

test("reads that run together fail only when none of them writes any more", async () => {
  let finished = false;
  const slow = new Promise<void>((resolve) => setTimeout(resolve, 20)).then(() => {
    finished = true;
  });
  await expect(allDone([Promise.reject(new Error("first")), slow])).rejects.toThrow("first");
  expect(finished).toBe(true);
});

test("an overlay leaves its base as it was", async () => {
  const base = new MemoryDevice(bytes());
  const overlay = new OverlayDevice(base);
  await overlay.write(20_000, new Uint8Array(50_000));
  expect(Buffer.compare(base.bytes, bytes())).toBe(0);
  expect(overlay.writtenBytes).toBeLessThan(90_000);
});

test("a part of a store can be written, inside of its own bounds", async () => {
  const disk = new MemoryDevice(new Uint8Array(1000));
  const part = sliceSource(disk, 100, 50) as ByteStore;
  expect(isStore(part)).toBe(true);
  await part.write(40, new Uint8Array(10).fill(7));
  expect(disk.bytes.indexOf(7)).toBe(140);
  await expect(part.write(41, new Uint8Array(10))).rejects.toMatchObject({ code: "truncated" });
  await expect(part.resize(60)).rejects.toThrow(RangeError);
});
