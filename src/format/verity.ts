import { bytes, struct, u8, u64 } from "../bytes/struct.ts";

/** `struct btrfs_verity_descriptor_item`: the VERITY_DESC_ITEM at offset 0; the descriptor is in those after it. */
export const VerityDescriptorItem = struct("btrfs_verity_descriptor_item", 25, {
  /** Bytes of the descriptor. */
  size: u64,
  reserved: bytes(16),
  encryption: u8,
});
