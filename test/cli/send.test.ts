import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { btrkit } from "./support.ts";

// An image of test/fixtures/send as a file, and what the kernel's streams of it are.

const FOLDER = resolve(import.meta.dirname, "../fixtures/send");
const NAME = "shared-zstd";

interface Stream {
  readonly snapshot: string;
  readonly parent?: string;
  readonly clones?: readonly string[];
  readonly protocol?: number;
  readonly compressed?: boolean;
  readonly noData?: boolean;
  readonly bytes: number;
  readonly sha256: string;
}

const index: { readonly name: string; readonly streams: readonly Stream[] }[] = JSON.parse(
  readFileSync(join(FOLDER, "index.json"), "utf8"),
);
const { streams } = index.find(({ name }) => name === NAME)!;

let work: string;
let image: string;

function unpack(packed: Buffer, path: string): void {
  const number = (at: number): number => Number(packed.readBigUInt64LE(at));
  const bytes = Buffer.alloc(number(0));
  for (let at = 16; at < packed.byteLength; at += 16 + number(at + 8)) {
    packed.copy(bytes, number(at), at + 16, at + 16 + number(at + 8));
  }
  writeFileSync(path, bytes);
}

beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "btrkit-send-"));
  image = join(work, "image");
  unpack(gunzipSync(readFileSync(join(FOLDER, `${NAME}.gz`))), image);
});
afterAll(() => {
  truncateSync(image);
  rmSync(work, { recursive: true });
});

const at = (snapshot: string): string => `${image}:/${snapshot}`;
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const kernel = (wanted: Partial<Stream>): Stream =>
  streams.find(
    (stream) =>
      stream.snapshot === wanted.snapshot &&
      stream.parent === wanted.parent &&
      stream.protocol === wanted.protocol &&
      stream.compressed === wanted.compressed &&
      stream.noData === wanted.noData &&
      stream.clones?.join() === wanted.clones?.join(),
  )!;

test("writes the kernel's stream, to standard output and to a file, and says what it sends", () => {
  const full = btrkit(["send", at("s1")]);
  expect([full.status, full.stderr]).toEqual([0, `At subvol ${at("s1")}\n`]);
  expect(sha256(full.stdout)).toBe(kernel({ snapshot: "s1", protocol: 1 }).sha256);

  const file = join(work, "stream");
  const sent = btrkit(["send", at("s2"), "-qf", file, "--compressed-data", "-p", at("s1")]);
  expect([sent.status, sent.stderr, sent.stdout.byteLength]).toEqual([0, "", 0]);
  expect(sha256(readFileSync(file))).toBe(kernel({ snapshot: "s2", parent: "s1", compressed: true }).sha256);
  expect(readdirSync(work).filter((name) => name.startsWith("stream"))).toEqual(["stream"]);
});

test("takes protocol, clone sources and --no-data", () => {
  const cloned = btrkit(["send", "-q", "--compressed-data", "-p", at("s1"), "-c", at("s2"), at("s3")]);
  const wanted = { snapshot: "s3", parent: "s1", clones: ["s2"], compressed: true };
  expect(sha256(cloned.stdout)).toBe(kernel(wanted).sha256);
  const bare = btrkit(["send", "-q", "--no-data", "--proto=0", "-p", at("s2"), at("s3")]);
  expect(sha256(bare.stdout)).toBe(kernel({ snapshot: "s3", parent: "s2", noData: true, protocol: 2 }).sha256);
});

test("chooses the nearest clone source as the parent, and goes on with what was sent", () => {
  const chosen = btrkit(["send", "-q", "--proto", "2", "-c", at("s1"), at("s2"), at("s3")]);
  const first = kernel({ snapshot: "s2", parent: "s1", protocol: 2 });
  expect(sha256(chosen.stdout.subarray(0, first.bytes))).toBe(first.sha256);
  const second = btrkit(["send", "-q", "--proto", "2", "-p", at("s2"), "-c", at("s1"), at("s3")]);
  expect(chosen.stdout.subarray(first.bytes).equals(second.stdout)).toBe(true);
});

test("with -e, several snapshots are one segment", () => {
  const apart = btrkit(["send", "-q", at("s1"), at("s2")]).stdout;
  const together = btrkit(["send", "-qe", at("s1"), at("s2")]).stdout;
  const cut = kernel({ snapshot: "s1", protocol: 1 }).bytes;
  expect(together.equals(Buffer.concat([apart.subarray(0, cut - 10), apart.subarray(cut + 17)]))).toBe(true);
});

test("--dry-run tells the size of the stream, and writes none", () => {
  const { stdout, status } = btrkit(["send", "--dry-run", "--format", "json", "--compressed-data", at("s1")]);
  expect(status).toBe(0);
  const { bytes, subvolumes } = JSON.parse(stdout.toString())["send-dry-run"];
  expect(bytes).toBe(kernel({ snapshot: "s1", compressed: true }).bytes);
  expect(subvolumes[0].commands.end).toEqual({ commands: 1, bytes: 10 });
  expect(btrkit(["send", "--dry-run", at("s1")]).stdout.toString()).toContain(
    `${kernel({ snapshot: "s1", protocol: 1 }).bytes} bytes`,
  );
});

test.each([
  [["LIVE"], "ERROR: subvolume LIVE is not read-only"],
  [["-p", "LIVE", "S1"], "ERROR: parent subvolume LIVE is not read-only"],
  [["-c", "LIVE", "S1"], "ERROR: cloned subvolume LIVE is not read-only"],
  [["-p", "S1", "-p", "S1", "S2"], "ERROR: you cannot have more than one parent (-p)"],
  [
    ["--compressed-data", "--proto", "1", "S1"],
    "ERROR: --compressed-data requires protocol version >= 2 (requested 1)",
  ],
  [["--proto", "x", "S1"], "ERROR: x is not a valid numeric value"],
  [["-i", "x", "S1"], "ERROR: option -i was removed, use -c instead"],
])("refuses %j as btrfs send does", (args, line) => {
  const words = new Map([
    ["LIVE", at("live")],
    ["S1", at("s1")],
    ["S2", at("s2")],
  ]);
  const { status, stderr, stdout } = btrkit(["send", ...args.map((arg) => words.get(arg) ?? arg)]);
  expect([status, stdout.byteLength]).toEqual([1, 0]);
  expect(stderr).toBe(`${line.replace("LIVE", at("live"))}\n`);
});

test("refuses to let the kernel send an unmounted image, unless only the environment says so", () => {
  const { stderr, status, stdout } = btrkit(["send", "--engine", "kernel", at("s1")]);
  expect(stderr).toBe("ERROR: --engine kernel is for what is mounted: unmounted images are sent by btrkit\n");
  expect([status, stdout.byteLength]).toEqual([1, 0]);
  const sent = btrkit(["send", at("s1")], { env: { BTRKIT_SEND_ENGINE: "kernel" } });
  expect([sent.status, sha256(sent.stdout)]).toEqual([0, kernel({ snapshot: "s1", protocol: 1 }).sha256]);
});

test("leaves nothing behind when it fails", () => {
  const file = join(work, "never");
  const { status } = btrkit(["send", "-f", file, at("live")]);
  expect(status).toBe(1);
  expect(existsSync(file)).toBe(false);
  expect(readdirSync(work).some((name) => name.startsWith("never"))).toBe(false);
});
