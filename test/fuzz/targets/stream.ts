import { concatBytes } from "../../../src/bytes/bytes.ts";
import { BtrfsError } from "../../../src/errors.ts";
import { readStream, type StreamItem, type StreamOptions, StreamWriter } from "../../../src/stream/index.ts";
import { streamBytes, streamFixtures } from "../../support.ts";

export function seeds(): Uint8Array[] {
  return streamFixtures()
    .map(({ name }) => streamBytes(name))
    .filter(({ byteLength }) => byteLength < 32 * 1024);
}

/** Any bytes give commands or a `BtrfsError`, and commands that were read are written as the same bytes. */
export async function fuzz(data: Uint8Array): Promise<void> {
  const strict = await readAll(data);
  if (strict.sound) same(data, await written(strict.items), "a sound stream, written again");

  let end = 0;
  const recovered = await readAll(data, {
    recover({ error, start, end: next }) {
      if (!(error instanceof BtrfsError)) throw new Error("a fault is no BtrfsError", { cause: error });
      if (start < end || next < start || next > data.byteLength)
        throw new Error(`fault from ${start} to ${next} after ${end}`);
      end = next;
    },
  });
  if (!recovered.sound) throw new Error("recovery ended in an error");
  if (recovered.items.length < strict.items.length) throw new Error("recovery found less than the strict reader");

  // Past the checksums, into the attributes; twice, as the first writing corrects them.
  const lenient = {
    ignoreChecksums: true,
    allowUnknownCommands: true,
    allowUnknownAttributes: true,
    allowMissingEnd: true,
  };
  const items = (await readAll(data, lenient)).items;
  const once = await written(items);
  if (once === undefined || items.length === 0) return;
  const again = await readAll(once, { ...lenient, ignoreChecksums: false });
  if (!again.sound) throw new Error("what was written can't be read", { cause: again.error });
  same(once, await written(again.items), "written twice");
}

async function readAll(
  data: Uint8Array,
  options: StreamOptions = {},
): Promise<{ items: StreamItem[]; sound: boolean; error?: BtrfsError }> {
  const items: StreamItem[] = [];
  try {
    for await (const item of readStream(data, options)) items.push(item);
  } catch (error) {
    if (error instanceof BtrfsError) return { items, sound: false, error };
    throw error;
  }
  return { items, sound: true };
}

/** `undefined` for what no version of the writer carries, as paths that are too long. */
async function written(items: readonly StreamItem[]): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  const writer = new StreamWriter({ write: (chunk) => void chunks.push(chunk.slice()) }, { version: 1 });
  try {
    for (const item of items) writer.write(item);
  } catch (error) {
    if (error instanceof BtrfsError) return undefined;
    throw error;
  }
  await writer.flush();
  return concatBytes(chunks);
}

function same(a: Uint8Array, b: Uint8Array | undefined, what: string): void {
  if (b !== undefined && Buffer.compare(a, b) !== 0) throw new Error(`${what}, has other bytes`);
}
