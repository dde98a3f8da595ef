import { asStruct } from "../bytes/struct.ts";
import { BtrfsError, UnsupportedError } from "../errors.ts";
import { PROFILES } from "../format/chunk.ts";
import { DevReplaceItem, REPLACE_STARTED, REPLACE_SUSPENDED } from "../format/device-items.ts";
import { flagNames } from "../format/flags.ts";
import { keyOf } from "../format/key.ts";
import { DEV_REPLACE, ROOT_ITEM, TEMPORARY_ITEM } from "../format/key-type.ts";
import { itemBytes } from "../format/node.ts";
import { BALANCE_OBJECTID, DEV_TREE_OBJECTID, TREE_RELOC_OBJECTID } from "../format/objectid.ts";
import * as flags from "../format/superblock.ts";
import type { Volume } from "../volume/volume.ts";

const REFUSED_FLAGS =
  flags.SUPER_FLAG_ERROR |
  flags.SUPER_FLAG_SEEDING |
  flags.SUPER_FLAG_METADUMP |
  flags.SUPER_FLAG_METADUMP_V2 |
  flags.SUPER_FLAG_CHANGING_FSID |
  flags.SUPER_FLAG_CHANGING_FSID_V2 |
  flags.SUPER_FLAG_CHANGING_BG_TREE |
  flags.SUPER_FLAG_CHANGING_DATA_CSUM |
  flags.SUPER_FLAG_CHANGING_META_CSUM;

const KNOWN_COMPAT_RO = flags.COMPAT_RO_NAMES.reduce((bits, [bit]) => bits | bit, 0n);

/**
 * Refuses what can be read and must not be written here.
 *
 * @throws {BtrfsError} that names the reason.
 */
export async function checkWritable(volume: Volume): Promise<void> {
  checkFlags(volume);
  checkDevices(volume);
  for (const { profile } of volume.chunks.chunks) {
    if (PROFILES[profile].parity > 0) refuse(`it has chunks of ${profile}, which btrkit does not write`);
  }
  const balance = await volume.rootTree.find(keyOf(BALANCE_OBJECTID, TEMPORARY_ITEM, 0n), "exact");
  if (balance !== undefined) refuse("a balance is paused; mount it and let it end, or cancel it");
  const reloc = keyOf(TREE_RELOC_OBJECTID, ROOT_ITEM, 0n);
  for await (const _ of volume.rootTree.leaves({ first: reloc, last: keyOf(TREE_RELOC_OBJECTID, ROOT_ITEM + 1, 0n) })) {
    refuse("a relocation was interrupted; mount it once, and the kernel ends it");
  }
  await checkReplace(volume);
}

function checkFlags({ superblock }: Volume): void {
  const marked = superblock.flags & REFUSED_FLAGS;
  if (marked !== 0n) refuse(`it is marked: ${flagNames(marked, flags.SUPER_FLAG_NAMES).join(", ")}`);
  const unknown = superblock.compatRoFlags & ~KNOWN_COMPAT_RO;
  if (unknown !== 0n)
    refuse(`it uses ${flagNames(unknown, flags.COMPAT_RO_NAMES).join(", ")}, which btrkit does not know`);
  const space = superblock.compatRoFlags & (flags.COMPAT_RO_FREE_SPACE_TREE | flags.COMPAT_RO_FREE_SPACE_TREE_VALID);
  if (space === flags.COMPAT_RO_FREE_SPACE_TREE)
    refuse("its free space tree is not valid; mount it once, and the kernel makes it anew");
  if ((superblock.incompatFlags & flags.INCOMPAT_SIMPLE_QUOTA) !== 0n)
    refuse("it uses simple-quota, which btrkit does not write");
  if ((superblock.incompatFlags & flags.INCOMPAT_MIXED_BACKREF) === 0n)
    refuse("its back references are of the oldest form");
  if (superblock.logRoot !== 0n) refuse("a log tree waits to be replayed; mount it once, and the kernel does it");
}

function checkDevices({ devices, superblock }: Volume): void {
  if (BigInt(devices.size) !== superblock.numDevices) {
    throw new BtrfsError(
      "missing",
      `Cannot write filesystem: it has ${superblock.numDevices} devices, ${devices.size} were found`,
    );
  }
  for (const { devid, source, stale, seed, totalBytes } of devices.values()) {
    const where = { device: devid };
    if (source === undefined)
      throw new BtrfsError("missing", "Cannot write filesystem: a device is missing", { where });
    if (stale)
      throw new BtrfsError("unsupported", "Cannot write filesystem: a device missed the last commits", { where });
    if (seed) throw new BtrfsError("unsupported", "Cannot write filesystem: it grew on a seed device", { where });
    if (totalBytes === undefined || source.size < totalBytes) {
      throw new BtrfsError(
        "truncated",
        `Cannot write filesystem: a device has ${source.size} bytes, expected ${totalBytes}`,
        { where },
      );
    }
  }
}

async function checkReplace(volume: Volume): Promise<void> {
  const tree = await volume.openTree(DEV_TREE_OBJECTID);
  const span = await tree.find(keyOf(0n, DEV_REPLACE, 0n), "exact");
  if (span === undefined) return;
  const { replaceState } = asStruct(DevReplaceItem, itemBytes(span.leaf, span.first));
  if (replaceState === REPLACE_STARTED || replaceState === REPLACE_SUSPENDED) {
    refuse("a device replacement runs or is suspended; mount it and let it end, or cancel it");
  }
}

function refuse(why: string): never {
  throw new UnsupportedError(`Cannot write filesystem: ${why}`);
}
