import type * as checksum from "../../src/checksum/browser.ts";
import type * as codec from "../../src/codec/browser.ts";
import type * as core from "../../src/index.ts";
import type * as receive from "../../src/receive/index.ts";
import type * as stream from "../../src/stream/index.ts";

/** The library as a host has it. */
export interface Parts {
  readonly checksum: Pick<typeof checksum, "CHECKSUM_TYPES" | "loadChecksum">;
  readonly codec: Pick<typeof codec, "loadCodecs">;
  readonly core: Pick<typeof core, "BlobDevice" | "openFilesystem" | "verifyStreams" | "walk">;
  readonly receive: Pick<typeof receive, "dumpStream">;
  readonly stream: Pick<typeof stream, "readStream" | "StreamWriter">;
}

const ALGORITHMS = ["zlib", "lzo", "zstd"] as const;
const LENGTHS = [0, 1, 100, 511, 4096, 70_001];

/** What each host does with the same bytes; all that comes out is text, for comparing. */
export class Proof {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Checksums of every type and several lengths. */
  async checksums(): Promise<string[]> {
    const { CHECKSUM_TYPES, loadChecksum } = this.#parts.checksum;
    const lines: string[] = [];
    for (const [type, { name, byteLength }] of CHECKSUM_TYPES.entries()) {
      const sum = new Uint8Array(byteLength);
      for (const length of LENGTHS) {
        (await loadChecksum(type)).compute(content(length), sum);
        lines.push(`${name} ${length} ${hexOf(sum)}`);
      }
      (await loadChecksum(type)).compute(new TextEncoder().encode("abc"), sum);
      lines.push(`${name} abc ${hexOf(sum)}`);
    }
    return lines;
  }

  /** Compresses; `decode` of the other host reads it. */
  async encode(): Promise<Record<string, number[]>> {
    const codecs = await this.#parts.codec.loadCodecs();
    const encoded: Record<string, number[]> = {};
    for (const algorithm of ALGORITHMS) {
      for (const length of [1, 4096, 70_001]) {
        const target = new Uint8Array(131_072);
        const used = codecs.encode(algorithm, content(length), target, { sectorSize: 4096 });
        encoded[`${algorithm} ${length}`] = [...target.subarray(0, used)];
      }
    }
    return encoded;
  }

  /** @returns Which of them were read right. */
  async decode(encoded: Record<string, number[]>): Promise<string[]> {
    const codecs = await this.#parts.codec.loadCodecs();
    return Object.entries(encoded)
      .filter(([name, bytes]) => {
        const [algorithm, length] = name.split(" ") as [(typeof ALGORITHMS)[number], string];
        const want = content(Number(length));
        const target = new Uint8Array(want.byteLength);
        const options = { sectorSize: 4096, strict: true };
        const count = codecs.decode(algorithm, Uint8Array.from(bytes), target, options);
        return count === want.byteLength && hexOf(target) === hexOf(want);
      })
      .map(([name]) => name);
  }

  /** Digest of the dump, and what verifying says. */
  async stream(bytes: Uint8Array): Promise<string> {
    const { core, receive } = this.#parts;
    const text: Uint8Array[] = [];
    const options = { allSegments: true, maxErrors: 0 };
    const reason = await receive.dumpStream(bytes, async (part) => void text.push(part.slice()), options);
    const report = await core.verifyStreams([new Blob([bytes as Uint8Array<ArrayBuffer>]).stream()]);
    return json({ dump: await digest(text), reason, report });
  }

  /** Whether writing what was read gives the same bytes. */
  async rewritten(bytes: Uint8Array): Promise<boolean> {
    const { readStream, StreamWriter } = this.#parts.stream;
    const parts: Uint8Array[] = [];
    const writer = new StreamWriter({ write: (part) => void parts.push(part.slice()) }, { version: 1 });
    for await (const item of readStream(bytes, { allowMissingEnd: true })) {
      writer.write(item);
      await writer.drain();
    }
    await writer.flush();
    return (await digest(parts)) === (await digest([bytes]));
  }

  /** Every name of an image, packed as the fixtures are, with the digest of what is in it. */
  async image(packed: Uint8Array): Promise<string[]> {
    const { BlobDevice, openFilesystem, walk } = this.#parts.core;
    const filesystem = await openFilesystem([new BlobDevice(unpacked(packed), "image")]);
    const lines: string[] = [];
    for await (const { directory, entries } of walk(await filesystem.top())) {
      for (const entry of entries) {
        const inode = await directory.enter(entry);
        const { size } = inode.stat;
        let sum = "";
        if (inode.kind === "file") {
          const data = new Uint8Array(Number(size));
          const file = inode.openFile();
          for (let at = 0; at < data.byteLength; ) at += await file.read(BigInt(at), data.subarray(at));
          sum = await digest([data]);
        }
        lines.push(`${hexOf(inode.path!)} ${inode.kind} ${size} ${sum}`);
      }
    }
    return lines.sort();
  }
}

/** What test/fixtures/images pack: records of offset, length and data; the last has no data, and the size for its offset. */
function unpacked(packed: Uint8Array): Blob {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const zeros = new Blob([new Uint8Array(1 << 20)]);
  const parts: BlobPart[] = [];
  let size = 0;
  for (let at = 0; ; ) {
    const offset = Number(view.getBigUint64(at, true));
    const length = view.getUint32(at + 8, true);
    for (; size < offset; size += Math.min(zeros.size, offset - size)) parts.push(zeros.slice(0, offset - size));
    if (length === 0) return new Blob(parts);
    parts.push(packed.slice(at + 12, at + 12 + length) as Uint8Array<ArrayBuffer>);
    size += length;
    at += 12 + length;
  }
}

/** Compresses well, but not to nothing. */
function content(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (Math.imul(at >>> 3, 0x9e3779b1) >>> 24) & (at & 64 ? 255 : 15));
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function digest(parts: readonly Uint8Array[]): Promise<string> {
  const whole = await new Blob([...parts] as Uint8Array<ArrayBuffer>[]).arrayBuffer();
  return hexOf(new Uint8Array(await crypto.subtle.digest("SHA-256", whole)));
}

function json(value: unknown): string {
  return JSON.stringify(value, (_, one) =>
    typeof one === "bigint" ? `${one}n` : one instanceof Uint8Array ? hexOf(one) : one,
  );
}
