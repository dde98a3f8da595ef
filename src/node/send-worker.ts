import { parentPort, workerData } from "node:worker_threads";
import { BtrfsError } from "../errors.ts";
import { DataFiller } from "../send/fill.ts";
import { ImageData } from "../send/image-data.ts";
import type { VolumeEvent } from "../volume/events.ts";
import { LeafReading } from "./leaf-ring.ts";
import { openSameImage } from "./same-image.ts";
import { SendSlots } from "./send-slots.ts";
import type { SendThreadData } from "./send-threads.ts";
import { copyShared } from "./shared-copy.ts";
import { type PlainError, plainError } from "./worker-jobs.ts";

/** What the thread tells: of a copy that it met, or why it ends. Errors are plain. */
export interface ToldBySender {
  readonly event: VolumeEvent;
  readonly error?: PlainError | Error;
}

const { origin, slots: shared, leaves } = workerData as SendThreadData;

async function fillChunks(): Promise<void> {
  let events: VolumeEvent[] = [];
  const volume = await openSameImage(origin, (event) => events.push(event));
  const filler = new DataFiller(new ImageData(volume), copyShared);
  const slots = new SendSlots(shared);
  const reading = leaves === undefined ? undefined : new LeafReading(leaves, volume);
  for (;;) {
    const { calls } = slots;
    reading?.read();
    const number = slots.claim();
    if (number === undefined) {
      slots.waitForCall(calls);
      continue;
    }
    // Warnings are those that the main thread had when it opened the filesystem.
    events = [];
    let isGood = true;
    try {
      await filler.fill(slots.offered(number));
    } catch {
      // The main thread finds out, and tells.
      isGood = false;
    }
    if (isGood) for (const event of events) parentPort!.postMessage({ event: plainEvent(event) });
    slots.finish(number, isGood);
  }
}

function plainEvent(event: VolumeEvent): unknown {
  return "error" in event ? { ...event, error: plainError(event.error) } : event;
}

fillChunks().catch((error: unknown) => {
  parentPort!.postMessage({ error: error instanceof BtrfsError ? plainError(error) : error });
});
