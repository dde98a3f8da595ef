import fc from "fast-check";
import { expect, test } from "vitest";
import { streamBytes, streamFixtures } from "../../test/support.ts";
import { concatBytes, toBytes } from "../bytes/bytes.ts";
import { ATTRIBUTES, type AttributeField } from "./attributes.ts";
import {
  attributesOf,
  COMMANDS,
  type Command,
  type CommandName,
  type RawAttribute,
  type StreamItem,
} from "./commands.ts";
import { readBatches, readStream, type StreamOptions } from "./reader.ts";
import { StreamWriter } from "./writer.ts";

/** A sink that remembers. */
function collector() {
  const chunks: Uint8Array[] = [];
  return { write: (chunk: Uint8Array) => void chunks.push(chunk.slice()), chunks, bytes: () => concatBytes(chunks) };
}

async function write(items: Iterable<StreamItem> | AsyncIterable<StreamItem>): Promise<Uint8Array> {
  const sink = collector();
  const writer = new StreamWriter(sink, { version: 1 });
  for await (const item of items) {
    writer.write(item);
    await writer.drain();
  }
  await writer.flush();
  return sink.bytes();
}

test.each(streamFixtures())("$name, read and written again, is the same", async ({ name, omitEnd = false }) => {
  const bytes = streamBytes(name);
  const again = await write(readStream(bytes));
  expect(Buffer.compare(again, bytes)).toBe(0);

  const sink = collector();
  const writer = new StreamWriter(sink, { version: 1 });
  let segments = 0;
  for await (const batch of readBatches([bytes])) {
    if (batch.segment.index === segments && ++segments) writer.begin(batch.segment.version);
    writer.writeRaw(batch);
    await writer.drain();
  }
  await writer.flush();
  expect(Buffer.compare(sink.bytes(), bytes)).toBe(0);
  if (omitEnd) expect(segments).toBe(1);
});

// A kernel's stream needs no layout: it is what the writer does of itself.
test("no command of a kernel is unusual", async () => {
  for (const { name } of streamFixtures()) {
    for await (const item of readStream(streamBytes(name))) if ("layout" in item) expect(item).toBeUndefined();
  }
});

const VALUES: { readonly [field in string]: fc.Arbitrary<unknown> } = {
  u8: fc.nat(255),
  u32: fc.nat(0xffff_ffff),
  u64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  uuid: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  timespec: fc.record({
    seconds: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    nanoseconds: fc.nat(0xffff_ffff),
  }),
  string: fc.uint8Array({ maxLength: 40 }),
  data: fc.uint8Array({ maxLength: 300 }),
};

function arbitraryOf(field: AttributeField): fc.Arbitrary<unknown> {
  return VALUES[ATTRIBUTES[field].type]!;
}

/** Any command that the version can carry, optional attributes there or not. */
function commandOf(version: number): fc.Arbitrary<Command> {
  const names = (Object.keys(COMMANDS) as CommandName[]).filter(
    (name) => COMMANDS[name].since <= version && name !== "end",
  );
  return fc.constantFrom(...names).chain((name) => {
    const fields = attributesOf(name).filter(({ field }) => ATTRIBUTES[field].since <= version);
    const required = fields.filter((field) => field.required).map(({ field }) => field);
    const model = Object.fromEntries(fields.map(({ field }) => [field, arbitraryOf(field)]));
    return fc
      .record(model, { requiredKeys: required, noNullPrototype: true })
      .map((values) => ({ name, ...values }) as unknown as Command);
  });
}

/** Attributes in any order, repeated, unknown, or of another command: written as bytes, with only the syntax right. */
function unusualCommand(version: number): fc.Arbitrary<Command> {
  const raw = (number: number, value: Uint8Array): RawAttribute => ({ number, value });
  const unknown = fc
    .tuple(fc.integer({ min: 36, max: 0xffff }), fc.uint8Array({ maxLength: 20 }))
    .map(([n, v]) => raw(n, v));
  const known = fc
    .constantFrom("path", "pathTo", "pathLink", "xattrName")
    .chain((field) =>
      fc.uint8Array({ maxLength: 20 }).map((value) => raw(ATTRIBUTES[field as AttributeField].number, value)),
    );
  const needed = ["path", "pathTo"].map((field) => raw(ATTRIBUTES[field as AttributeField].number, toBytes(field)));
  // Data that begin with their own length are refused in version 3: a damaged header's 1 looks so.
  const isCounted = (bytes: Uint8Array): boolean =>
    bytes.length >= 2 && bytes[0]! + 256 * bytes[1]! === bytes.length - 2;
  const plain = fc.uint8Array({ maxLength: 50 }).filter((bytes) => !isCounted(bytes));
  const data = fc.option(plain, { nil: undefined });
  return fc
    .tuple(fc.array(fc.oneof(unknown, known), { maxLength: 6 }), fc.nat(), data)
    .map(([attributes, turn, bytes]) => {
      const all = [...attributes, ...needed];
      const order = [...all.slice(turn % all.length), ...all.slice(0, turn % all.length)];
      if (bytes !== undefined && version > 1) order.push(raw(ATTRIBUTES.data.number, bytes));
      return { name: "unknown", number: COMMANDS.rename.number, attributes: order };
    });
}

const LENIENT: StreamOptions = { allowUnknownAttributes: true, allowUnknownCommands: true };

async function read(bytes: Uint8Array, options: StreamOptions = {}): Promise<StreamItem[]> {
  const items: StreamItem[] = [];
  // Chunks of a few bytes: commands are cut everywhere.
  for await (const item of readStream([bytes.subarray(0, 7), bytes.subarray(7, 8), bytes.subarray(8)], options)) {
    items.push(structuredClone(item));
  }
  return items;
}

const segmentsOf = (command: (version: number) => fc.Arbitrary<Command>) =>
  fc.array(
    fc
      .constantFrom(1, 2, 3)
      .chain((version) =>
        fc
          .array(command(version), { maxLength: 8 })
          .map((commands): StreamItem[] => [{ name: "segment", version }, ...commands, { name: "end" }]),
      ),
    { minLength: 1, maxLength: 3 },
  );

test("what was written is what is read", async () => {
  await fc.assert(
    fc.asyncProperty(segmentsOf(commandOf), async (segments) => {
      const items = segments.flat();
      expect(await read(await write(items))).toEqual(items);
    }),
    { numRuns: 50 },
  );
});

test("unusual attributes and unknown commands, decoded and written again, are the same bytes", async () => {
  const unknown = fc.tuple(fc.integer({ min: 27, max: 0xffff }), fc.uint8Array({ maxLength: 9 })).map(
    ([number, value]): Command => ({
      name: "unknown",
      number,
      attributes: [
        { number: 15, value },
        { number: 99, value },
      ],
    }),
  );
  await fc.assert(
    fc.asyncProperty(
      segmentsOf((version) => fc.oneof(unusualCommand(version), unknown)),
      async (segments) => {
        const bytes = await write(segments.flat());
        expect(await write(await read(bytes, LENIENT))).toEqual(bytes);
      },
    ),
    { numRuns: 50 },
  );
});

test("of a repeated attribute the last one counts, and an edit of it is written", async () => {
  const path = (text: string): RawAttribute => ({ number: ATTRIBUTES.path.number, value: toBytes(text) });
  const bytes = await write([
    { name: "segment", version: 1 },
    {
      name: "unknown",
      number: COMMANDS.unlink.number,
      attributes: [path("first"), { number: 77, value: toBytes("?") }, path("last")],
    },
    { name: "end" },
  ]);
  const items = await read(bytes, LENIENT);
  expect(items[1]).toEqual({
    name: "unlink",
    path: toBytes("last"),
    layout: [path("first"), { number: 77, value: toBytes("?") }, "path"],
  });
  const edited = items.map((item) => (item.name === "unlink" ? { ...item, path: toBytes("other") } : item));
  expect((await read(await write(edited), LENIENT))[1]).toMatchObject({ path: toBytes("other") });
});
