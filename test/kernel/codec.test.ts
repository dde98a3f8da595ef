import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeLzo1x, NO_ROOM } from "../../src/codec/lzo1x-decode.ts";
import { encodeLzo1x, lzo1xBound } from "../../src/codec/lzo1x-encode.ts";
import { type Algorithm, type Codecs, loadCodecs } from "../../src/codec/node.ts";
import { CorruptError } from "../../src/errors.ts";

const oracle = join(import.meta.dirname, "support/codec_oracle.py");
const fixtures = join(import.meta.dirname, "../fixtures/codec");
const SECTOR = 4096;

/** Numbers from 0 to `below`, the same in each run. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Runs of noise, of zeros and of what came before, so that every kind of match occurs. */
function mixture(length: number, seed: number): Uint8Array {
  const random = randomFrom(seed * 7919 + 1);
  for (let warm = 0; warm < 8; warm++) random(2);
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const run = Math.min(1 + random([4, 20, 300, 3000][random(4)]!), length - at);
    const kind = random(4);
    const from = random(at + 1);
    for (const stop = at + run; at < stop; at++) {
      bytes[at] = kind === 0 ? random(256) : kind === 1 || from === at ? 0 : bytes[from + (at % run)]!;
    }
  }
  return bytes;
}

function ask<Answer>(requests: readonly object[], ...mode: string[]): Answer[] {
  const { stdout, stderr, status } = spawnSync("python3", [oracle, ...mode], {
    input: requests.map((request) => `${JSON.stringify(request)}\n`).join(""),
    encoding: "utf8",
    maxBuffer: 1 << 30,
  });
  if (status !== 0) throw new Error(stderr);
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
const plain = (text: string) => Buffer.from(text, "base64");

function has(...command: [string, ...string[]]): boolean {
  return spawnSync(command[0], command.slice(1), { stdio: "ignore" }).status === 0;
}

const liblzo = has("python3", "-c", "import ctypes; ctypes.CDLL('liblzo2.so.2')");

describe.skipIf(!liblzo)("LZO1X beside liblzo2 (skipped without python3 or liblzo2.so.2)", () => {
  const blocks = Array.from({ length: 1500 }, (_, index) => {
    const random = randomFrom(index + 5);
    return mixture(1 + random([40, 4096, 65_536][index % 3]!), index);
  });

  test("liblzo2 decodes our blocks, and they are no more than a tenth larger than its own", () => {
    const ours = blocks.map((block) => {
      const target = new Uint8Array(lzo1xBound(block.byteLength));
      return target.subarray(0, encodeLzo1x(block, 0, block.byteLength, target, 0));
    });
    const answers = ask<{ result: number; data: string }>(
      ours.map((data, index) => ({ op: "decompress", data: base64(data), capacity: blocks[index]!.byteLength })),
      "lzo1x",
    );
    for (const [index, { result, data }] of answers.entries()) {
      expect([index, result]).toEqual([index, 0]);
      expect(plain(data).equals(blocks[index]!)).toBe(true);
    }
    const theirs = ask<{ data: string }>(
      blocks.map((block) => ({ op: "compress", data: base64(block) })),
      "lzo1x",
    );
    const sum = (lengths: number[]) => lengths.reduce((total, length) => total + length, 0);
    expect(sum(ours.map((data) => data.byteLength))).toBeLessThan(
      1.1 * sum(theirs.map(({ data }) => plain(data).length)),
    );
  });

  test("we decode the blocks of both of its compressors", () => {
    for (const op of ["compress", "compress999"]) {
      const answers = ask<{ data: string }>(
        blocks.map((block) => ({ op, data: base64(block) })),
        "lzo1x",
      );
      for (const [index, { data }] of answers.entries()) {
        const input = plain(data);
        const target = new Uint8Array(blocks[index]!.byteLength);
        expect(decodeLzo1x(input, 0, input.byteLength, target, 0, target.byteLength)).toBe(target.byteLength);
        expect(Buffer.compare(target, blocks[index]!)).toBe(0);
      }
    }
  });

  // Only an end mark of another length than `11 00 00` is an end for liblzo2, and, as for the kernel, an error for us.
  test("damaged blocks decode for us exactly when they decode for liblzo2, and to the same bytes", () => {
    const random = randomFrom(99);
    const damaged = Array.from({ length: 6000 }, (_, index) => {
      const block = mixture(1 + random(index % 2 === 0 ? 60 : 2000), index);
      const target = new Uint8Array(lzo1xBound(block.byteLength));
      const input = target.slice(0, encodeLzo1x(block, 0, block.byteLength, target, 0));
      for (let flips = 1 + random(3); flips > 0; flips--) input[random(input.byteLength)] = random(256);
      return random(5) === 0 ? input.subarray(0, 1 + random(input.byteLength)) : input;
    });
    const capacity = 4096;
    const answers = ask<{ result: number; data: string }>(
      damaged.map((data) => ({ op: "decompress", data: base64(data), capacity })),
      "lzo1x",
    );
    let decoded = 0;
    for (const [index, { result, data }] of answers.entries()) {
      const target = new Uint8Array(capacity);
      const input = damaged[index]!;
      let length = NO_ROOM;
      let oddEnd = false;
      try {
        length = decodeLzo1x(input, 0, input.byteLength, target, 0, capacity);
      } catch (error) {
        expect(error).toBeInstanceOf(CorruptError);
        oddEnd = (error as CorruptError).sentence.includes("end mark of a block is not");
      }
      if (oddEnd) continue;
      expect([index, base64(input), length !== NO_ROOM]).toEqual([index, base64(input), result === 0]);
      if (result !== 0) continue;
      expect(plain(data).equals(target.subarray(0, length))).toBe(true);
      decoded++;
    }
    expect(decoded).toBeGreaterThan(500);
  });
});

const canMount = process.platform === "linux" && process.getuid?.() === 0 && has("mkfs.btrfs", "--version");

describe.skipIf(!canMount)("extents beside the kernel (skipped without root or mkfs.btrfs)", () => {
  let scratch: string;
  let mountpoint: string;
  let codecs: Codecs;

  beforeAll(async () => {
    codecs = await loadCodecs();
    scratch = mkdtempSync(join(tmpdir(), "btrkit-codec-"));
    mountpoint = join(scratch, "mount");
    mkdirSync(mountpoint);
    writeFileSync(join(scratch, "image"), "");
    truncateSync(join(scratch, "image"), 1 << 30);
    execFileSync("mkfs.btrfs", ["-q", "-s", String(SECTOR), join(scratch, "image")]);
    execFileSync("mount", ["-o", "loop,max_inline=0", join(scratch, "image"), mountpoint]);
  });
  afterAll(() => {
    spawnSync("umount", [mountpoint]);
    rmSync(scratch, { recursive: true, force: true });
  });

  interface Stored {
    readonly algorithm: Algorithm;
    readonly data: Uint8Array;
    /** Decoded bytes that the file shall have. */
    readonly length: number;
  }

  /** What read(2) gives from a cold cache, or the name of its error. */
  function readByKernel(extents: readonly Stored[]): (Buffer | string)[] {
    const requests = extents.map(({ data, ...about }) => ({ ...about, data: base64(data) }));
    const answers = ask<{ data?: string; errno?: string }>(requests, "kernel", mountpoint);
    return answers.map(({ data, errno }) => (data === undefined ? errno! : plain(data)));
  }

  test("the kernel reads what we encode, at every level and many lengths", () => {
    const random = randomFrom(4);
    const contents: Uint8Array[] = [];
    const extents: Stored[] = [];
    const portions: [Algorithm, number | undefined][] = [
      ...Array.from({ length: 9 }, (_, index): [Algorithm, number] => ["zlib", index + 1]),
      ...Array.from({ length: 15 }, (_, index): [Algorithm, number] => ["zstd", index + 1]),
      ...Array.from({ length: 12 }, (): [Algorithm, undefined] => ["lzo", undefined]),
    ];
    for (const [algorithm, level] of portions) {
      for (const length of [131_072, 1 + random(131_072), 1 + random(20_000), 5000]) {
        const content = mixture(length, extents.length + 100);
        const target = new Uint8Array(length - 1);
        const options = { sectorSize: SECTOR, ...(level === undefined ? {} : { level }) };
        const stored = codecs.encode(algorithm, content, target, options);
        if (stored === 0) continue;
        contents.push(content);
        extents.push({ algorithm, data: target.subarray(0, stored), length });
      }
    }
    expect(extents.length).toBeGreaterThan(120);
    for (const [index, answer] of readByKernel(extents).entries()) {
      expect([extents[index]!.algorithm, index, Buffer.compare(contents[index]!, answer as Buffer)]).toEqual([
        extents[index]!.algorithm,
        index,
        0,
      ]);
    }
  });

  // The stored sectors are exactly what the kernel holds: padded with zeros to whole sectors.
  function decodeStored({ algorithm, data, length }: Stored): Buffer | string {
    const stored = new Uint8Array(Math.ceil(data.byteLength / SECTOR) * SECTOR);
    stored.set(data);
    const target = Buffer.alloc(length);
    try {
      const produced = codecs.decode(algorithm, stored, target, { sectorSize: SECTOR });
      return target.fill(0, produced);
    } catch (error) {
      expect(error).toBeInstanceOf(CorruptError);
      return (error as CorruptError).sentence;
    }
  }

  test.each(["zlib", "lzo", "zstd"] as const)(
    "a damaged %s extent never decodes to other bytes than the kernel reads",
    (algorithm) => {
      const random = randomFrom(17);
      const index: { name: string; algorithm: string; decodedLength: number; inline: boolean }[] = JSON.parse(
        readFileSync(join(fixtures, "index.json"), "utf8"),
      );
      const extents: Stored[] = [];
      for (const extent of index) {
        if (extent.algorithm !== algorithm || extent.inline) continue;
        const good = readFileSync(join(fixtures, `${extent.name}.extent`));
        for (let trial = 0; trial < 60; trial++) {
          let data = Uint8Array.from(good);
          const length =
            trial % 3 === 0
              ? extent.decodedLength - SECTOR * random(extent.decodedLength / SECTOR)
              : extent.decodedLength;
          if (trial % 5 === 4) data = data.slice(0, 1 + random(data.byteLength));
          else {
            const within = trial % 2 === 0 ? Math.min(24, data.byteLength) : data.byteLength;
            data[random(within)]! ^= 1 << random(8);
          }
          if (data.byteLength < length) extents.push({ algorithm, data, length });
        }
      }
      const counts = { same: 0, bothRefuse: 0, weRefuse: 0 };
      for (const [at, theirs] of readByKernel(extents).entries()) {
        const extent = extents[at]!;
        const ours = decodeStored(extent);
        const about = `${at}: ${base64(extent.data.subarray(0, 32))}… length ${extent.length}`;
        if (typeof ours === "string") {
          if (typeof theirs === "string") counts.bothRefuse++;
          else {
            counts.weRefuse++;
          }
        } else {
          expect(typeof theirs === "string" ? `${about} ${theirs}` : "").toBe("");
          expect([about, ours.equals(theirs as Buffer)]).toEqual([about, true]);
          counts.same++;
        }
      }
      expect(counts.same).toBeGreaterThan(10);
      expect(counts.bothRefuse).toBeGreaterThan(10);
      // A frame that was cut: the kernel leaves the rest zero. Its Huffman decoder also sees less than the portable one.
      if (algorithm !== "zstd") expect(counts.weRefuse).toBe(0);
    },
  );
});
