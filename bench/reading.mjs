// Reading an image through the library, in one process: extents as they are stored beside a bare read with CRC-32C of the
// same extents, and opening. `npm run bench -- reading [--quick]`.
import { join } from "node:path";
import { loadChecksum } from "#checksum";
import { encodedExtents } from "../dist/encoded/index.js";
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
  let ours = Number.POSITIVE_INFINITY;
  let limit = Number.POSITIVE_INFINITY;
  let bytes = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const begun = performance.now();
    bytes = await readEncoded(filesystem);
    const between = performance.now();
    readBare(device, runs, checksum);
    ours = Math.min(ours, between - begun);
    limit = Math.min(limit, performance.now() - between);
  }
  const bare = runs.reduce((sum, { length }) => sum + length, 0);
  const share = bytes / ours / (bare / limit);
  const heads = ["encoded read of all extents", "bytes", "ours, verified", "read + crc32c by sector", "share", "bar"];
  const verdict = `at least 70 %: ${share >= 0.7 ? "met" : "not met"}`;
  const rates = [bytesPerSecond((bytes / ours) * 1000), bytesPerSecond((bare / limit) * 1000)];
  console.log(`${markdown(heads, [[image, String(bytes), ...rates, `${(100 * share).toFixed(0)} %`, verdict]])}\n`);
  await filesystem.close();
}

/** @param {import("../dist/index.js").Filesystem} filesystem */
async function* files(filesystem) {
  for await (const { directory, entries } of walk(await filesystem.lookup("live"))) {
    for (const entry of entries) if (entry.kind === "file") yield (await directory.enter(entry)).openFile();
  }
}

/** @param {import("../dist/index.js").Filesystem} filesystem */
async function readEncoded(filesystem) {
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
  const buffer = new Uint8Array(largest);
  const sums = new Uint8Array((largest / SECTOR) * checksum.byteLength);
  for (const { physical, length } of runs) {
    const target = buffer.subarray(0, length);
    device.readSync?.(physical, target);
    checksum.computeSectors(target, SECTOR, sums);
  }
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
