// Codecs and checksums on 128 KiB extents and 4 KiB sectors of real data (Node's own executable), in processor time of one
// thread. `npm run bench -- throughput`.
import { readFileSync } from "node:fs";
import { CHECKSUM_TYPES, loadChecksum } from "#checksum";
import { loadCodec } from "#codec";
import { bytesPerSecond, markdown } from "./report.mjs";

const EXTENT = 131_072;
const SECTOR = 4096;
const executable = readFileSync(process.execPath);
const start = Math.floor(executable.byteLength / 2 / EXTENT) * EXTENT;
const extents = Array.from({ length: 64 }, (_, i) => executable.subarray(start + i * EXTENT, start + (i + 1) * EXTENT));

/**
 * Decoded bytes a second, the best of several rounds over all extents.
 *
 * @param {(extent: Uint8Array) => void} work
 * @param {readonly Uint8Array[]} over
 */
function rate(work, over = extents) {
  let best = 0;
  for (let round = 0; round < 5; round++) {
    const before = process.cpuUsage();
    for (const extent of over) work(extent);
    const { user, system } = process.cpuUsage(before);
    best = Math.max(best, (over.length * EXTENT) / ((user + system) / 1e6));
  }
  return best;
}

const rows = [];
for (const type of CHECKSUM_TYPES.keys()) {
  const checksum = await loadChecksum(type);
  const target = new Uint8Array((EXTENT / SECTOR) * checksum.byteLength);
  const whole = rate((extent) => checksum.compute(extent, target));
  const sectors = rate((extent) => checksum.computeSectors(extent, SECTOR, target));
  rows.push([checksum.name, bytesPerSecond(whole), bytesPerSecond(sectors)]);
}
console.log(`${markdown(["checksum", "128 KiB", "4 KiB sectors"], rows)}\n`);

rows.length = 0;
for (const algorithm of /** @type {const} */ (["zlib", "lzo", "zstd"])) {
  for (const portable of [false, true]) {
    const codec = await loadCodec(algorithm, { portable });
    if (portable && (await loadCodec(algorithm)).implementation === codec.implementation) continue;
    const options = { sectorSize: SECTOR };
    const spare = new Uint8Array(EXTENT);
    // Extents that do not get smaller are left out, as btrfs leaves them.
    const stored = extents
      .map((extent) => spare.slice(0, codec.encode(extent, spare, options)))
      .filter(({ byteLength }) => byteLength > 0);
    const output = new Uint8Array(EXTENT);
    const ratio = (stored.length * EXTENT) / stored.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const encode = rate((extent) => codec.encode(extent, spare, options));
    const decode = rate((extent) => codec.decode(extent, output, options), stored);
    rows.push([algorithm, codec.implementation, ratio.toFixed(2), bytesPerSecond(encode), bytesPerSecond(decode)]);
  }
}
console.log(markdown(["codec", "implementation", "ratio", "encode", "decode"], rows));
