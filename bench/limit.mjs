// The physical limit: reads a file once and takes one CRC-32C of it, nothing else, as fast as we know how: one thread reads ahead,
// the other takes the CRC. `limit.mjs FILE`.
import { crc32cRawRange } from "#checksum";
import { FileSource } from "../dist/node/file-source.js";

const file = await FileSource.open(/** @type {string} */ (process.argv[2]));
const blocks = await file.readAhead();
if (blocks === undefined) throw new Error("limit.mjs FILE: a regular file of a mebibyte at least");
let crc = 0;
for (let block = await blocks.nextBlock(); block !== undefined; block = await blocks.nextBlock()) {
  crc = crc32cRawRange(crc, block.bytes, block.start, block.end);
}
console.log(crc);
file.close();
