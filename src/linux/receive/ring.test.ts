import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { Ring } from "./ring.ts";

// A filler counts its slot and then wakes the other thread, which may have emptied it in between and wait for the next
// one. Woken now it would take a slot for filled that is not: its old commands would be carried out once more.
test("a thread that is woken without a filled slot goes on waiting", async () => {
  const ring = new Ring();
  const built = new URL("../../../dist/linux/receive/ring.js", import.meta.url).href;
  const waiting = `import(${JSON.stringify(built)}).then(({ Ring }) => {
    const { parentPort, workerData } = require("node:worker_threads");
    const ring = new Ring(workerData);
    ring.setReady();
    ring.waitFilled(0);
    parentPort.postMessage(ring.filled);
  })`;
  const worker = new Worker(waiting, { eval: true, workerData: ring.memory });
  const answer = new Promise<number>((resolve, reject) => worker.once("message", resolve).once("error", reject));
  while (!ring.isReady) await sleep(5);
  const words = new Int32Array(ring.memory);
  // Once it has been woken, it waits no more, or waits again: then it can be woken a second time.
  for (const _ of [1, 2]) while (Atomics.notify(words, 0) === 0) await sleep(1);
  ring.publish(0, 1, 0);
  expect(await answer).toBe(1);
  await worker.terminate();
}, 20_000);

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
