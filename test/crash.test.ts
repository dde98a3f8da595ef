import { expect, test } from "vitest";
import { MemoryDevice } from "../src/device/memory.ts";
import { makeFilesystem } from "../src/mkfs/mkfs.ts";
import { Random } from "./kernel/support/random.ts";
import { crashHistory } from "./support/crashing-history.ts";

// Whatever part of the writes since the last flush has reached the device, in whatever order, torn at any sector of 512
// bytes: the filesystem holds what it held before the transaction, or after it.
test("a crash at any moment leaves the filesystem as before or after", async () => {
  const store = new MemoryDevice(new Uint8Array(70 << 20));
  await makeFilesystem(store, { nodeSize: 4096, metadata: "single" });
  const outcomes = await crashHistory([store], {
    random: new Random(5),
    transactions: 10,
    crashes: 14,
    copyOf: async () => new MemoryDevice(store.bytes.slice()),
  });
  expect(outcomes.before).toBeGreaterThan(50);
  expect(outcomes.after).toBeGreaterThan(30);
}, 120_000);
