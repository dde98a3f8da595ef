import { UnsupportedError } from "../errors.ts";
import type { ByteSource } from "./source.ts";

interface Signature {
  readonly at: number;
  /** Text, one character a byte. */
  readonly magic: string;
  readonly what: string;
  /** What a person can do. */
  readonly advice?: string;
}

const UNPACK = "unpack it first";
const CONVERT = "make a raw image of it first: qemu-img convert -O raw IN OUT";

const SIGNATURES: readonly Signature[] = [
  { at: 0, magic: "QFI\xfb", what: "a qcow2 disk image", advice: CONVERT },
  { at: 0, magic: "KDMV", what: "a VMDK disk image", advice: CONVERT },
  { at: 0, magic: "# Disk DescriptorFile", what: "a VMDK description", advice: CONVERT },
  { at: 0, magic: "vhdxfile", what: "a VHDX disk image", advice: CONVERT },
  { at: 0, magic: "conectix", what: "a VHD disk image", advice: CONVERT },
  { at: 64, magic: "\x7f\x10\xda\xbe", what: "a VirtualBox disk image", advice: CONVERT },
  { at: 0, magic: "\x3a\xff\x26\xed", what: "an Android sparse image", advice: "expand it first with simg2img" },
  {
    at: 0,
    magic: "LUKS\xba\xbe",
    what: "encrypted (LUKS)",
    advice: "open it with `cryptsetup open` and name the device in /dev/mapper",
  },
  { at: 3, magic: "-FVE-FS-", what: "encrypted (BitLocker)" },
  { at: 0, magic: "\x1f\x8b", what: "compressed with gzip", advice: UNPACK },
  { at: 0, magic: "\xfd7zXZ\0", what: "compressed with xz", advice: UNPACK },
  { at: 0, magic: "\x28\xb5\x2f\xfd", what: "compressed with zstd", advice: UNPACK },
  { at: 0, magic: "BZh", what: "compressed with bzip2", advice: UNPACK },
  { at: 0, magic: "\x04\x22\x4d\x18", what: "compressed with lz4", advice: UNPACK },
  { at: 0, magic: "PK\x03\x04", what: "a zip archive", advice: UNPACK },
  { at: 0, magic: "7z\xbc\xaf\x27\x1c", what: "a 7z archive", advice: UNPACK },
  { at: 0, magic: "btrfs-stream\0", what: "a btrfs send stream", advice: "receive or verify it instead" },
  { at: 512, magic: "LABELONE", what: "an LVM volume", advice: "activate it and name the logical volume" },
  { at: 4096, magic: "\xfc\x4e\x2b\xa9", what: "a part of a Linux software RAID", advice: "assemble it with mdadm" },
  {
    at: 4120,
    magic: "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
    what: "a bcache device",
    advice: "register it and name /dev/bcacheN",
  },
  { at: 0x1_0040, magic: "!BHRfS_M", what: "a btrfs that mkfs never finished" },
  { at: 1080, magic: "\x53\xef", what: "an ext2, ext3 or ext4 filesystem" },
  { at: 0, magic: "XFSB", what: "an XFS filesystem" },
  { at: 3, magic: "NTFS    ", what: "an NTFS filesystem" },
  { at: 3, magic: "EXFAT   ", what: "an exFAT filesystem" },
  { at: 0, magic: "hsqs", what: "a squashfs" },
  { at: 0x8001, magic: "CD001", what: "an ISO 9660 image" },
];

/**
 * Says what `source` is when it is not btrfs and something else has to open it first.
 *
 * @throws {UnsupportedError} when the bytes are known; returns when they are not.
 */
export async function recognise(source: ByteSource): Promise<void> {
  for (const { at, magic, what, advice } of SIGNATURES) {
    if (at + magic.length > source.size) continue;
    const bytes = new Uint8Array(magic.length);
    await source.read(at, bytes);
    if (!bytes.every((byte, index) => byte === magic.charCodeAt(index))) continue;
    throw new UnsupportedError(`Cannot open as btrfs: it is ${what}${advice === undefined ? "" : `; ${advice}`}`, {
      file: source.name,
    });
  }
}
