import { type MessagePort, workerData } from "node:worker_threads";
import { BtrfsError } from "../../errors.ts";
import { CommandError, placeOf } from "../../receive/command-error.ts";
import { EncodedTally } from "../../receive/encoded-tally.ts";
import { CommandBatch } from "../../stream/batch.ts";
import { InputWindow } from "../../stream/input.ts";
import { CommandParser } from "../../stream/parse.ts";
import { loadNative } from "../native.ts";
import { MountView } from "./mount.ts";
import { Ring, SLOT_BEGIN, SLOT_END, SLOT_FORGET, SLOT_RELEASE, SLOT_STOP } from "./ring.ts";
import { plainFailure, type ThreadMessage, type ThreadSubvolume } from "./thread-messages.ts";
import { SubvolumeWriter } from "./writer.ts";

const { memory, port } = workerData as { readonly memory: SharedArrayBuffer; readonly port: MessagePort };
const ring = new Ring(memory);
const native = loadNative();
const tell = (message: ThreadMessage): void => port.postMessage(message);

let writer: SubvolumeWriter | undefined;
let encoded = new EncodedTally();

/** Carries out the commands of a slot; what fails is told, and the next one follows. */
async function work(index: number): Promise<boolean> {
  const { bytes, version, flags } = ring.facts(index);
  if ((flags & SLOT_BEGIN) !== 0) begin(ring.slot(index).slice(0, bytes));
  else if (bytes > 0) await apply(index, bytes, version);
  if ((flags & SLOT_RELEASE) !== 0) writer?.release();
  if ((flags & SLOT_FORGET) !== 0) writer?.forget();
  if ((flags & SLOT_END) !== 0) end();
  return (flags & SLOT_STOP) === 0;
}

function begin(text: Uint8Array): void {
  const { root, uuid, mount, sectorSize, options } = JSON.parse(Buffer.from(text).toString()) as ThreadSubvolume;
  encoded = new EncodedTally();
  writer = new SubvolumeWriter({
    native,
    root,
    uuid: Uint8Array.from(Buffer.from(uuid, "hex")),
    mount: MountView.borrow(native, mount.root, Uint8Array.from(Buffer.from(mount.path, "hex"))),
    encoded,
    sectorSize,
    options,
  });
}

async function apply(slot: number, bytes: number, version: number): Promise<void> {
  const window = new InputWindow(ring.slot(slot).subarray(0, bytes));
  const parser = new CommandParser({ ignoreChecksums: true }, Ring.slotBytes);
  const segment = { index: 0, version, streamOffset: 0, state: "open" } as const;
  const batch = new CommandBatch(segment);
  while (window.available > 0) {
    batch.reset(segment, window);
    const before = parser.nextIndex;
    const stop = parser.fill(window, batch);
    if (stop === "fault") throw parser.fault!;
    const failed = (error: unknown, i: number): void => {
      if (!(error instanceof CommandError && error.cause instanceof BtrfsError)) throw error;
      const at = batch.headerAt(i);
      tell({ slot, i: before + i, at, place: placeOf(batch, i), failure: plainFailure(error.cause) });
    };
    await writer!.apply(batch, 0, batch.count, failed);
    if (batch.count === 0) throw new Error(`${window.available} bytes of slot ${slot} are no command`);
  }
}

function end(): void {
  const closing = writer;
  writer = undefined;
  closing?.close();
  tell({ carried: encoded.carried, decoded: [...encoded.decoded], withoutData: closing?.withoutData ?? 0 });
}

async function run(): Promise<void> {
  ring.setReady();
  for (let index = 0; ; index++) {
    ring.waitFilled(index);
    const goesOn = await work(index);
    ring.release();
    if (!goesOn) break;
  }
  port.close();
}

run().catch((error: unknown) => {
  tell({ broken: error instanceof Error ? `${error.message}` : String(error) });
  // Nobody waits for a thread that does nothing more.
  for (;;) {
    if (ring.emptied < ring.filled) ring.release();
    else ring.waitFilled(ring.filled);
  }
});
