import { concatBytes, viewOf } from "../bytes/bytes.ts";
import { CorruptError } from "../errors.ts";
import { keyOf } from "../format/key.ts";
import { VERITY_DESC_ITEM } from "../format/key-type.ts";
import { itemBytes } from "../format/node.ts";
import { ATTRIBUTES } from "../stream/attributes.ts";
import { COMMANDS } from "../stream/commands.ts";
import type { Paths } from "./paths.ts";
import type { SendState } from "./state.ts";
import { whenRead } from "./unread.ts";

/** `struct fsverity_descriptor`, as far as it is needed: bytes of its fields, and of all that is before the signature. */
const ALGORITHM_AT = 1;
const LOG_BLOCK_SIZE_AT = 2;
const SALT_SIZE_AT = 3;
const SIGNATURE_SIZE_AT = 4;
const SALT_AT = 80;
const MAX_SALT_BYTES = 32;
const DESCRIPTOR_BYTES = 256;

/** ENABLE_VERITY of the current inode, from the descriptor that its tree has. */
export async function sendVerity(state: SendState, paths: Paths): Promise<void> {
  const { left, ino, out } = state;
  const parts: Uint8Array[] = [];
  const inode = BigInt(ino);
  // The item at offset 0 says how long the descriptor is, those from 1 on hold it.
  const range = { first: keyOf(inode, VERITY_DESC_ITEM, 1n), last: keyOf(inode, VERITY_DESC_ITEM + 1, 0n) };
  for await (const { leaf, first, last } of left.tree.leaves(range)) {
    for (let slot = first; slot < last; slot++) parts.push(itemBytes(leaf, slot));
  }
  const descriptor = concatBytes(parts);
  const problem = (what: string): CorruptError =>
    new CorruptError(`Cannot read fsverity_descriptor: ${what}`, left.where(ino));
  if (descriptor.byteLength < DESCRIPTOR_BYTES) {
    throw problem(`it has ${descriptor.byteLength} bytes, expected at least ${DESCRIPTOR_BYTES}`);
  }
  const view = viewOf(descriptor);
  const [logBlockSize, saltSize] = [view.getUint8(LOG_BLOCK_SIZE_AT), view.getUint8(SALT_SIZE_AT)];
  const signatureSize = view.getUint32(SIGNATURE_SIZE_AT, true);
  if (saltSize > MAX_SALT_BYTES || logBlockSize > 31 || signatureSize > descriptor.byteLength - DESCRIPTOR_BYTES) {
    throw problem(
      `block size 2^${logBlockSize}, salt of ${saltSize} and signature of ${signatureSize} bytes don't fit`,
    );
  }
  const path = await whenRead(() => paths.current());
  out.begin(COMMANDS.enableVerity);
  out.path(ATTRIBUTES.path, path);
  out.copy(ATTRIBUTES.verityAlgorithm, descriptor, ALGORITHM_AT, 1);
  out.number(ATTRIBUTES.verityBlockSize, 2 ** logBlockSize);
  out.bytes(ATTRIBUTES.veritySaltData, descriptor.subarray(SALT_AT, SALT_AT + saltSize));
  out.bytes(ATTRIBUTES.veritySigData, descriptor.subarray(DESCRIPTOR_BYTES, DESCRIPTOR_BYTES + signatureSize));
  out.end();
}
