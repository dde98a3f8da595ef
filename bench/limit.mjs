// The physical limit: reads a file once and takes one CRC32C of it, nothing else. `limit.mjs FILE`.
import { openSync, readSync } from "node:fs";
import { crc32c } from "@node-rs/crc32";

const chunk = new Uint8Array(1 << 20);
const fd = openSync(/** @type {string} */ (process.argv[2]), "r");
let crc = 0;
for (let got = readSync(fd, chunk); got > 0; got = readSync(fd, chunk)) crc = crc32c(chunk.subarray(0, got), crc);
console.log(crc);
