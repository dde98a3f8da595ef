import { hex, viewOf } from "../../bytes/bytes.ts";
import type { Located } from "../../bytes/struct.ts";
import { BtrfsError } from "../../errors.ts";
import { ChunkItem, Stripe } from "../chunk.ts";
import { flagNames } from "../flags.ts";
import { DiskKey, decodeKey, KEY_BYTES } from "../key.ts";
import {
  COMPAT_RO_NAMES,
  INCOMPAT_NAMES,
  SUPER_FLAG_NAMES,
  type Superblock,
  SYSTEM_CHUNK_ARRAY_BYTES,
} from "../superblock.ts";
import { describeChunk } from "./devices.ts";
import { type Described, describeKey, fieldsOf } from "./value.ts";

/** A superblock, whatever it says: nothing in it is believed. @param checksum What its `csumType` stands for. */
export function describeSuperblock(
  superblock: InstanceType<typeof Superblock>,
  checksum: { readonly name: string; readonly byteLength: number } | undefined,
): Described {
  const { backup0, backup1, backup2, backup3, sysChunkArray, csum, label, magic } = superblock;
  const { flags, compatRoFlags, incompatFlags } = superblock;
  const fields: Record<string, Described[string]> = { ...fieldsOf(superblock as Located) };
  for (const name of ["backup0", "backup1", "backup2", "backup3", "sys_chunk_array"]) delete fields[name];
  const end = label.indexOf(0);
  return {
    ...fields,
    csum: hex(csum.subarray(0, checksum?.byteLength ?? csum.byteLength)),
    csum_type_name: checksum?.name ?? "unknown",
    flags_names: flagNames(flags, SUPER_FLAG_NAMES),
    compat_ro_flags_names: flagNames(compatRoFlags, COMPAT_RO_NAMES),
    incompat_flags_names: flagNames(incompatFlags, INCOMPAT_NAMES),
    magic: asciiOf(magic),
    label: label.slice(0, end < 0 ? label.byteLength : end),
    sys_chunk_array: describeSystemChunks(sysChunkArray, superblock.sysChunkArraySize),
    backup_roots: [backup0, backup1, backup2, backup3].map((backup) => fieldsOf(backup)),
  };
}

function asciiOf(magic: bigint): string {
  let text = "";
  for (let rest = magic; rest !== 0n; rest >>= 8n) {
    const byte = Number(rest & 255n);
    text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".";
  }
  return text;
}

/** Keys and chunks up to the first that does not fit. */
function describeSystemChunks(array: Uint8Array, size: number): Described[] {
  const used = array.subarray(0, Math.min(size, SYSTEM_CHUNK_ARRAY_BYTES));
  const chunks: Described[] = [];
  try {
    for (let at = 0; at + KEY_BYTES + ChunkItem.byteLength <= used.byteLength; ) {
      const key = describeKey(decodeKey(viewOf(used), at));
      const item = used.subarray(at + DiskKey.byteLength);
      chunks.push({ key, ...describeChunk(item) });
      at += KEY_BYTES + ChunkItem.byteLength + new ChunkItem(viewOf(item)).numStripes * Stripe.byteLength;
    }
  } catch (error) {
    if (!(error instanceof BtrfsError)) throw error;
  }
  return chunks;
}
