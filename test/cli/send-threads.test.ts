import { createCipheriv } from "node:crypto";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { readStream } from "../../src/stream/index.ts";
import { btrkit } from "./support.ts";

// Streams that are long enough for several threads to fill their chunks, of images of each checksum.

const FILES = 24;
/** In a file that is stored as it is, whose data no other file has. */
const MARK = Buffer.from("this is where a byte is changed");

let work: string;
vi.setConfig({ testTimeout: 120_000 });

beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "btrkit-send-threads-"));
  const tree = join(work, "tree", "snapshot");
  mkdirSync(tree, { recursive: true });
  for (let file = 0; file < FILES; file++) writeFileSync(join(tree, `file${file}`), contentOf(file));
  for (const checksum of ["crc32c", "xxhash64"]) {
    const made = btrkit([
      ...["mkfs", "-q", "--rootdir", join(work, "tree"), "--subvol", "ro:snapshot"],
      ...["--compress", "zstd:3", "--checksum", checksum, image(checksum)],
    ]);
    expect([made.status, made.stderr]).toEqual([0, ""]);
  }
}, 120_000);
afterAll(() => rmSync(work, { recursive: true }));

/** Every third is noise, which stays as it is; the others compress. Lengths that are no whole sectors, and some inline. */
function contentOf(file: number): Buffer {
  const length = file % 4 === 3 ? 1000 + file : 1_200_000 + file * 1111;
  const noise = createCipheriv("aes-128-ctr", Buffer.alloc(16, file), Buffer.alloc(16)).update(Buffer.alloc(length));
  const bytes = file % 3 === 0 ? noise : Buffer.from(noise.toString("hex")).subarray(0, length);
  if (file === 12) MARK.copy(bytes, 700_001);
  return bytes;
}

const image = (checksum: string): string => join(work, `${checksum}.img`);
const send = (checksum: string, threads: number, ...more: string[]): ReturnType<typeof btrkit> =>
  btrkit(["send", "-q", "--threads", `${threads}`, ...more, `${image(checksum)}:/snapshot`]);

test.each([
  ["crc32c", ["--compressed-data"]],
  ["crc32c", ["--proto", "1"]],
  ["xxhash64", ["--proto", "2"]],
])(
  "%s, %j: the stream is the same with one thread and with several, and every checksum in it is right",
  async (...row) => {
    const [checksum, options] = row;
    const alone = send(checksum, 1, ...options);
    expect([alone.status, alone.stderr]).toEqual([0, ""]);
    expect(alone.stdout.byteLength).toBeGreaterThan(6 << 20);
    expect(send(checksum, 3, ...options).stdout.equals(alone.stdout)).toBe(true);
    const found = new Map<string, Buffer>();
    let written = 0;
    // The reader refuses commands whose checksum is wrong.
    for await (const command of readStream(alone.stdout)) {
      if (command.name === "write") {
        const path = Buffer.from(command.path).toString();
        const before = found.get(path) ?? Buffer.alloc(0);
        expect(Number(command.fileOffset)).toBe(before.byteLength);
        found.set(path, Buffer.concat([before, command.data]));
      }
      if (command.name === "write" || command.name === "encodedWrite") written++;
    }
    expect(written).toBeGreaterThan(FILES);
    if (options.includes("--compressed-data")) return;
    for (let file = 0; file < FILES; file++) expect(found.get(`file${file}`)!.equals(contentOf(file))).toBe(true);
  },
);

test.each(["crc32c", "xxhash64"])("%s: a changed byte is found before it is sent", (checksum) => {
  const at = findIn(image(checksum), MARK);
  const fd = openSync(image(checksum), "r+");
  const before = send(checksum, 1, "--compressed-data").stdout;
  try {
    writeSync(fd, "X", at);
    for (const threads of [1, 2]) {
      const { status, stderr, stdout } = send(checksum, threads, "--compressed-data");
      expect(status).not.toBe(0);
      expect(stderr).toContain("checksum");
      // What had been written by then is what the whole stream begins with.
      expect(stdout.byteLength).toBeLessThan(before.byteLength);
      expect(stdout.equals(before.subarray(0, stdout.byteLength))).toBe(true);
    }
  } finally {
    writeSync(fd, MARK.subarray(0, 1), 0, 1, at);
    closeSync(fd);
  }
  expect(send(checksum, 2, "--compressed-data").stdout.equals(before)).toBe(true);
});

function findIn(path: string, wanted: Buffer): number {
  const at = readFileSync(path).indexOf(wanted);
  expect(at).toBeGreaterThan(0);
  return at;
}
