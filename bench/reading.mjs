// Reading an image through the library, in one process: extents as they are stored beside a bare read with CRC-32C of the
// same extents, and opening. `npm run bench -- reading [--quick]`.
import { join } from "node:path";
import { foldableBytes, loadChecksum } from "#checksum";
import { encodedExtents, encodedExtentsOf } from "../dist/encoded/index.js";
import { openFilesystem, walk } from "../dist/index.js";
import { openFileDevice } from "../dist/node/index.js";
import { warm } from "./benchmark.mjs";
import { Cache } from "./corpora/cache.mjs";
import { realImage } from "./corpora/real.mjs";
import { hugeImage } from "./corpora/synthetic.mjs";
import { bytesPerSecond, markdown } from "./report.mjs";

const ROUNDS = 5;
const CRC32C = 0;
const SECTOR = 4096;
const cache = new Cache({ quick: process.argv.includes("--quick") });

await encodedRow();
await openingRow();

async function encodedRow() {
  const { folder, image } = cache.get(realImage);
  const file = join(folder, image);
  warm(file);
  const device = await openFileDevice(file);
  const filesystem = await openFilesystem([device]);
  const runs = await physicalRuns(filesystem);
  const checksum = await loadChecksum(CRC32C);
  const least = {
    subvolume: Number.POSITIVE_INFINITY,
    files: Number.POSITIVE_INFINITY,
    bare: Number.POSITIVE_INFINITY,
  };
  let bytes = 0;
  for (let round = 0; round < ROUNDS; round++) {
    bytes = await timed(least, "subvolume", () => readSubvolume(filesystem));
    await timed(least, "files", () => readFiles(filesystem));
    await timed(least, "bare", () => readBare(device, runs, checksum));
  }
  const bare = runs.reduce((sum, { length }) => sum + length, 0) / least.bare;
  const heads = ["encoded read of all extents, verified", "bytes", "rate", "share", "bar"];
  const row = (/** @type {string} */ work, /** @type {number} */ rate, bar = "") => {
    return [work, String(bytes), bytesPerSecond(rate * 1000), `${((100 * rate) / bare).toFixed(0)} %`, bar];
  };
  const rate = bytes / least.subvolume;
  const rows = [
    row("a subvolume at once", rate, `at least 70 %: ${rate >= 0.7 * bare ? "met" : "not met"}`),
    row("file by file, by path", bytes / least.files),
    row("bare: the same extents read, CRC-32C by sector", bare),
  ];
  console.log(`${markdown(heads, rows)}\n`);
  await filesystem.close();
}

/** @param {import("../dist/index.js").Filesystem} filesystem */
async function* files(filesystem) {
  for await (const { directory, entries } of walk(await filesystem.lookup("live"))) {
    for (const entry of entries) if (entry.kind === "file") yield (await directory.enter(entry)).openFile();
  }
}

/**
 * @template {string} Name
 * @param {Record<Name, number>} least milliseconds
 * @param {Name} name
 * @param {() => number | Promise<number>} work
 */
async function timed(least, name, work) {
  const begun = performance.now();
  const done = await work();
  least[name] = Math.min(least[name], performance.now() - begun);
  return done;
}

/** @param {import("../dist/index.js").Filesystem} filesystem */
async function readSubvolume(filesystem) {
  const { subvolume } = await filesystem.lookup("live");
  let bytes = 0;
  for await (const extents of encodedExtentsOf(subvolume)) {
    for (const { data } of extents) bytes += data?.byteLength ?? 0;
  }
  return bytes;
}

/** @param {import("../dist/index.js").Filesystem} filesystem */
async function readFiles(filesystem) {
  let bytes = 0;
  for await (const file of files(filesystem)) {
    for await (const { data } of encodedExtents(file)) bytes += data?.byteLength ?? 0;
  }
  return bytes;
}

/**
 * Where the same extents lie on the device, one range each, in the order in which they are read.
 *
 * @param {import("../dist/index.js").Filesystem} filesystem
 */
async function physicalRuns(filesystem) {
  const runs = [];
  for await (const file of files(filesystem)) {
    for await (const batch of file.extents()) {
      for (const extent of batch) {
        if (!("diskBytenr" in extent) || extent.diskBytenr === 0) continue;
        const at = extent.compression === 0 ? extent.diskBytenr + Number(extent.offset) : extent.diskBytenr;
        const length = extent.compression === 0 ? Number(extent.numBytes) : extent.diskNumBytes;
        const [copy] = filesystem.volume.copiesOf(at, length);
        runs.push({ physical: copy?.physical ?? 0, length });
      }
    }
  }
  return runs;
}

/**
 * @param {import("../dist/index.js").ByteSource} device
 * @param {readonly { physical: number, length: number }[]} runs
 * @param {import("../dist/checksum/checksum.js").Checksum} checksum
 */
function readBare(device, runs, checksum) {
  const largest = runs.reduce((most, { length }) => Math.max(most, length), 0);
  // At a page's begin, where the kernel copies fastest: the limit is not to be held back by where its buffer lies.
  const buffer = foldableBytes(largest);
  const sums = new Uint8Array((largest / SECTOR) * checksum.byteLength);
  for (const { physical, length } of runs) {
    const target = buffer.subarray(0, length);
    device.readSync?.(physical, target);
    checksum.computeSectors(target, SECTOR, sums);
  }
  return largest;
}

async function openingRow() {
  const { folder, image } = cache.get(hugeImage);
  let best = Number.POSITIVE_INFINITY;
  let bytes = 0;
  let reads = 0;
  let first = 0;
  for (let round = 0; round < 20; round++) {
    const counted = counting(await openFileDevice(join(folder, image)));
    const begun = performance.now();
    const filesystem = await openFilesystem([counted.source]);
    for await (const _ of (await filesystem.top()).readDirectory());
    const taken = performance.now() - begun;
    if (round === 0) first = taken;
    best = Math.min(best, taken);
    ({ bytes, reads } = counted.counts);
    await filesystem.close();
  }
  const verdict = `under 100 ms and 2 MiB: ${best < 100 && bytes < 2 * 1024 * 1024 ? "met" : "not met"}`;
  const row = [
    "8 TiB, sparse",
    `${first.toFixed(1)} ms`,
    `${best.toFixed(1)} ms`,
    String(bytes),
    String(reads),
    verdict,
  ];
  console.log(markdown(["open and list the root", "first", "best of 20", "bytes read", "reads", "bar"], [row]));
}

/** @param {import("../dist/index.js").ByteSource} inner */
function counting(inner) {
  const counts = { bytes: 0, reads: 0 };
  const note = (/** @type {number} */ length) => {
    counts.bytes += length;
    counts.reads++;
  };
  const source = {
    size: inner.size,
    name: inner.name,
    /** @param {number} at @param {Uint8Array} target */
    read(at, target) {
      note(target.byteLength);
      return inner.read(at, target);
    },
    /** @param {number} at @param {Uint8Array} target */
    readSync(at, target) {
      note(target.byteLength);
      inner.readSync?.(at, target);
    },
    async close() {
      await inner.close?.();
    },
  };
  return { source, counts };
}
