import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { crc32c } from "../../src/checksum/node.ts";
import { type Codecs, loadCodecs } from "../../src/codec/node.ts";
import { EncodedIoError } from "../../src/errors.ts";
import type { EncodedIo, EncodedReader, EncodedWriter } from "../../src/format/encoded-io.ts";
import { EXTENT_FLAG_DATA } from "../../src/format/extent-item.ts";
import { FILE_EXTENT_INLINE, FILE_EXTENT_REG } from "../../src/format/file-extent.ts";
import { EXTENT_DATA_REF } from "../../src/format/key-type.ts";
import { padded } from "./encoded-data.ts";
import { ANY, READ_VECTORS, type ReadAnswer, type ReadVector } from "./encoded-read-vectors.ts";
import { REFUSALS, REFUSED_FILE, type Refusal, WRITE_VECTORS } from "./encoded-write-vectors.ts";
import { contentAfter, decodedRange, encoded, type FileStep } from "./file-steps.ts";
import type { StoredFile } from "./stored-file.ts";

// One suite for every EncodedReader and EncodedWriter: the kernel answers it, and whatever claims to be like it.

const UNTOUCHED = 0xee;
const SECTOR = 4096;

/** Files as the read vectors describe them, and a reader for each. */
export interface ReadSubject {
  /** Makes the files, damage included, and whatever else is to be done once. */
  prepare(vectors: readonly ReadVector[]): Promise<void>;
  /** @param cold As if the filesystem had just been mounted. */
  open(file: string, cold: boolean): Promise<EncodedReader & { close(): void | Promise<void> }>;
  close(): void | Promise<void>;
}

/** Every read vector for which `select` says yes, against `subject`. */
export function describeEncodedReads(
  title: string,
  subject: () => Promise<ReadSubject>,
  select: (vector: ReadVector) => boolean = () => true,
): void {
  const vectors = READ_VECTORS.filter(select);
  describe(title, () => {
    let files: ReadSubject;
    let codecs: Codecs;
    const contents = new Map<string, Uint8Array>();

    beforeAll(async () => {
      codecs = await loadCodecs();
      for (const { file, steps } of vectors) {
        contents.set(
          file,
          contentAfter(steps, codecs, (name) => contents.get(name)!),
        );
      }
      files = await subject();
      await files.prepare(vectors);
    });
    afterAll(() => files?.close());

    describe.each(vectors.map((vector) => [vector.file, vector] as const))("%s", (_file, vector) => {
      test.each(vector.reads.map(([offset, capacity, answer]) => ({ offset, capacity, answer })))(
        "at $offset into $capacity bytes: $answer",
        async ({ offset, capacity, answer }) => {
          const reader = await files.open(vector.file, vector.cold === true);
          try {
            const target = new Uint8Array(capacity).fill(UNTOUCHED);
            const got = await outcomeOf(reader.readEncoded(BigInt(offset), target));
            expect(got.answer).toEqual(answer[0] === ANY ? [got.io?.byteLength, ...answer.slice(1)] : answer);
            if (got.io !== undefined) checkBytes(codecs, got.io, target, contents.get(vector.file)!);
          } finally {
            await reader.close();
          }
        },
      );
    });
  });
}

type Answered = EncodedIo & { readonly byteLength: number };

async function outcomeOf(reading: Promise<Answered>): Promise<{ answer: ReadAnswer; io?: Answered }> {
  try {
    const io = await reading;
    expect(io.encryption).toBe(0);
    const numbers = [io.length, io.unencodedLength, io.unencodedOffset].map(Number) as [number, number, number];
    return { answer: [io.byteLength, ...numbers, io.compression], io };
  } catch (error) {
    if (!(error instanceof EncodedIoError)) throw error;
    return { answer: error.errno };
  }
}

/** What was filled is the file's content, decoded where need be; what was not filled is untouched. */
function checkBytes(codecs: Codecs, io: Answered, target: Uint8Array, content: Uint8Array): void {
  expect(target.subarray(io.byteLength).every((byte) => byte === UNTOUCHED)).toBe(true);
  if (io.byteLength === 0) return;
  const filled = target.subarray(0, io.byteLength);
  const data = io.compression === 0 ? filled : decodedRange(codecs, io, filled);
  const expected = content.subarray(Number(io.offset), Number(io.offset + io.length));
  expect(Buffer.compare(data, expected)).toBe(0);
}

export interface WriteSubject {
  /** Makes a file of its own. */
  create(file: string, steps: readonly FileStep[]): Promise<EncodedWriter & { close(): void | Promise<void> }>;
  /** The file as it is stored, after a commit. */
  inspect(file: string): Promise<StoredFile>;
  /** Its whole content. */
  read(file: string): Promise<Uint8Array>;
  close(): void | Promise<void>;
}

/** Every write vector and every refusal, against `subject`. */
export function describeEncodedWrites(title: string, subject: () => Promise<WriteSubject>): void {
  describe(title, () => {
    let files: WriteSubject;
    let codecs: Codecs;

    beforeAll(async () => {
      codecs = await loadCodecs();
      files = await subject();
    });
    afterAll(() => files?.close());

    test.each(WRITE_VECTORS.map((vector) => [vector.title, vector] as const))("%s is taken", async (name, vector) => {
      const { before = [], io, data, size, nbytes, extents } = vector;
      const writer = await files.create(name, before);
      expect(await writer.writeEncoded(io, data)).toBe(data.byteLength);
      await writer.close();
      const stored = await files.inspect(name);
      expect(stored.size).toBe(BigInt(size));
      if (nbytes !== undefined) expect(stored.nbytes).toBe(BigInt(nbytes));
      if (extents !== undefined) expect(stored.extents).toEqual(extents);
      checkItems(stored, io, data);
      if (stored.size > 1n << 24n) return; // too long to read whole
      const expected = contentAfter([...before, encoded(io, data)], codecs);
      expect(Buffer.compare(await files.read(name), expected)).toBe(0);
    });

    test.each(REFUSALS.map((refusal) => [refusal.title, refusal] as const))("%s", async (title, refusal) => {
      const before = refusal.before ?? REFUSED_FILE;
      const writer = await files.create(title, before);
      expect(await refusalOf(writer, refusal)).toBe(refusal.answer);
      await writer.close();
      expect(Buffer.compare(await files.read(title), contentAfter(before, codecs))).toBe(0);
    });
  });
}

/** What no vector has to say, as it is the same for all: one reference of the file, and the checksums of what is stored. */
function checkItems({ extents, details }: StoredFile, { offset, unencodedOffset }: EncodedIo, data: Uint8Array): void {
  const index = extents.findIndex(({ at }) => BigInt(at) === offset);
  const [extent, { encryption, otherEncoding, ...rest }] = [extents[index]!, details[index]!];
  expect({ encryption, otherEncoding }).toEqual({ encryption: 0, otherEncoding: 0 });
  if ("inline" in extent) {
    expect(rest).toEqual({ at: 0, type: FILE_EXTENT_INLINE, inline: Buffer.from(data).toString("hex") });
    return;
  }
  const sectors = Math.ceil(data.byteLength / SECTOR);
  const stored = padded(data, sectors * SECTOR);
  const sums = Array.from({ length: sectors }, (_, sector) => {
    const sum = Buffer.alloc(4);
    sum.writeUInt32LE(crc32c(stored.subarray(sector * SECTOR, (sector + 1) * SECTOR)));
    return sum.toString("hex");
  });
  const from = BigInt.asUintN(64, offset - unencodedOffset);
  expect(rest).toEqual({
    at: extent.at,
    type: FILE_EXTENT_REG,
    extent: {
      bytes: stored.byteLength,
      refs: 1n,
      flags: EXTENT_FLAG_DATA,
      isSameAge: true,
      references: [{ type: EXTENT_DATA_REF, root: 0n, objectid: 0n, offset: from, count: 1 }],
    },
    sums: sums.join(" "),
  });
}

async function refusalOf(writer: EncodedWriter, { io, data }: Refusal): Promise<string | number> {
  try {
    return await writer.writeEncoded(io, data);
  } catch (error) {
    if (!(error instanceof EncodedIoError)) throw error;
    return error.errno;
  }
}
