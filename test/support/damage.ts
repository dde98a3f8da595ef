import { loadChecksum } from "#checksum";
import { viewOf } from "../../src/bytes/bytes.ts";
import type { ByteStore } from "../../src/device/source.ts";
import { Superblock } from "../../src/format/superblock.ts";

const SUPERBLOCK_AT = 0x1_0000;

/** Changes the primary superblock and gives it the checksum that it then needs: damage that a reader has to notice. */
export async function rewriteSuperblock(store: ByteStore, change: (data: Uint8Array) => void): Promise<void> {
  const data = new Uint8Array(4096);
  await store.read(SUPERBLOCK_AT, data);
  change(data);
  await seal(data, new Superblock(viewOf(data)).csumType);
  await store.write(SUPERBLOCK_AT, data);
}

/** Gives a superblock or a tree block its checksum. A type that does not exist stays without. */
export async function seal(block: Uint8Array, checksumType: number): Promise<void> {
  if (checksumType > 3) return;
  const checksum = await loadChecksum(checksumType);
  block.fill(0, 0, 32);
  checksum.compute(block.subarray(32), block);
}
