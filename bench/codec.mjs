// `npm run bench:codec`: checksums and codecs of this host beside their portable side, in MB/s of decoded data.
import { readFileSync } from "node:fs";
import { loadChecksum as portableChecksum, crc32cRawRange as portableRaw } from "../dist/checksum/browser.js";
import { CHECKSUM_TYPES, crc32cRawRange, loadChecksum } from "../dist/checksum/node.js";
import { loadCodecs } from "../dist/codec/node.js";

const EXTENT = 131_072;
const ROUNDS = 7;

/** Sources of a large program: text that compresses to a quarter, as most files of people do. */
const corpus = readFileSync(new URL("../node_modules/typescript/lib/typescript.js", import.meta.url)).subarray(
  0,
  24 * EXTENT,
);
const extents = Array.from({ length: 24 }, (_, index) => corpus.subarray(index * EXTENT, (index + 1) * EXTENT));

/**
 * The best of some rounds, contenders taking turns.
 *
 * @param {Record<string, () => void>} contenders
 * @returns {Record<string, number>} seconds
 */
function race(contenders) {
  /** @type {Record<string, number>} */
  const best = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, run] of Object.entries(contenders)) {
      const start = process.hrtime.bigint();
      run();
      best[name] = Math.min(best[name] ?? Number.POSITIVE_INFINITY, Number(process.hrtime.bigint() - start) / 1e9);
    }
  }
  return best;
}

/** @param {string} title @param {number} bytes @param {Record<string, () => void>} contenders */
function report(title, bytes, contenders) {
  const rates = Object.entries(race(contenders)).map(([name, s]) => `${name} ${(bytes / s / 1e6).toFixed(0)}`);
  console.log(`${title.padEnd(26)} ${rates.map((rate) => rate.padEnd(20)).join("")}`);
}

console.log(`Node ${process.version}, MB/s, best of ${ROUNDS} rounds`);
for (const [type, { name, byteLength }] of CHECKSUM_TYPES.entries()) {
  const sides = { host: await loadChecksum(type), portable: await portableChecksum(type) };
  const target = new Uint8Array((corpus.byteLength / 4096) * byteLength);
  const contenders = Object.entries(sides).map(([side, checksum]) => [
    side,
    () => checksum.computeSectors(corpus, 4096, target),
  ]);
  report(`${name}, sectors of 4 KiB`, corpus.byteLength, Object.fromEntries(contenders));
}
const raw = { host: crc32cRawRange, portable: portableRaw };
for (const length of [80, 16_384, 1 << 20]) {
  const run = (/** @type {typeof crc32cRawRange} */ crc) => () => {
    for (let at = 0; at + length <= corpus.byteLength; at += length) crc(0, corpus, at, at + length);
  };
  const bytes = Math.floor(corpus.byteLength / length) * length;
  report(`crc32c, ${length} bytes each`, bytes, { host: run(raw.host), portable: run(raw.portable) });
}

const [host, portable] = [await loadCodecs(), await loadCodecs({ portable: true })];
const output = new Uint8Array(EXTENT);
for (const [algorithm, levels] of /** @type {const} */ ([
  ["zlib", [1, 3, 9]],
  ["zstd", [1, 3, 9, 15]],
  ["lzo", [undefined]],
])) {
  const sides =
    algorithm === "lzo"
      ? { own: portable }
      : { [host[algorithm].implementation]: host, [portable[algorithm].implementation]: portable };
  for (const level of levels) {
    const options = { sectorSize: 4096, ...(level === undefined ? {} : { level }) };
    const name = level === undefined ? algorithm : `${algorithm} level ${level}`;
    const stored = extents.map((extent) => output.slice(0, portable.encode(algorithm, extent, output, options)));
    const ratio = corpus.byteLength / stored.reduce((sum, { byteLength }) => sum + byteLength, 0);
    report(
      `${name}, encode`,
      corpus.byteLength,
      mapSides(sides, (codecs) => {
        for (const extent of extents) codecs.encode(algorithm, extent, output, options);
      }),
    );
    if (level === undefined || level === 3) {
      report(
        `${name}, decode`,
        corpus.byteLength,
        mapSides(sides, (codecs) => {
          for (const data of stored) codecs.decode(algorithm, data, output, options);
        }),
      );
    }
    console.log(`${" ".repeat(26)} ratio ${ratio.toFixed(2)}`);
  }
}

/** @param {Record<string, import("../dist/codec/node.js").Codecs>} sides @param {(codecs: import("../dist/codec/node.js").Codecs) => void} run */
function mapSides(sides, run) {
  return Object.fromEntries(Object.entries(sides).map(([name, codecs]) => [name, () => run(codecs)]));
}
