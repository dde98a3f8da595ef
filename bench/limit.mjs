// The physical limit: reads a file once and takes one CRC-32C of it, nothing else. `limit.mjs FILE`.
import { openSync, readSync } from "node:fs";
import { crc32cRaw, foldableBytes } from "#checksum";

const chunk = foldableBytes(512 * 1024);
const fd = openSync(/** @type {string} */ (process.argv[2]), "r");
let crc = 0;
for (let got = readSync(fd, chunk); got > 0; got = readSync(fd, chunk)) crc = crc32cRaw(crc, chunk.subarray(0, got));
console.log(crc);
