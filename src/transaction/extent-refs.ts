import { viewOf } from "../bytes/bytes.ts";
import { CorruptError } from "../errors.ts";
import { ExtentDataRef, type ExtentRef, inlineRefSize } from "../format/extent-item.ts";
import { EXTENT_DATA_REF, SHARED_DATA_REF } from "../format/key-type.ts";
import { extentDataRefHash } from "../tree/hash.ts";

/** References of one extent that a reference counts for. */
export function refCount(ref: ExtentRef): number {
  if ("count" in ref) return ref.count;
  return "root" in ref && ref.type === 172 ? 0 : 1;
}

/**
 * The same reference, counting `count`; `undefined` when that is none.
 *
 * @throws {CorruptError} for what can't be counted: the extent tree had fewer references than there are, or more.
 */
export function withCount(ref: ExtentRef, count: number, logical: number): ExtentRef | undefined {
  if (count === 0) return undefined;
  if (count < 0) throw new CorruptError("Cannot drop reference: the extent tree does not have it", { logical });
  if ("count" in ref) return { ...ref, count };
  if (count > 1) throw new CorruptError("Cannot add reference: the extent tree has it already", { logical });
  return ref;
}

/** What inline references of one type are sorted by, descending; and the key's offset of an item of its own. */
export function refSequence(ref: ExtentRef): bigint {
  if (ref.type === EXTENT_DATA_REF) return extentDataRefHash(ref.root, ref.objectid, ref.offset);
  return "root" in ref ? ref.root : ref.parent;
}

/** Inline references, in the order that the format demands. */
export function encodeInlineRefs(refs: readonly ExtentRef[]): Uint8Array {
  const sorted = refs
    .map((ref) => ({ ref, sequence: refs.length > 1 ? refSequence(ref) : 0n }))
    .sort((a, b) => a.ref.type - b.ref.type || (a.sequence > b.sequence ? -1 : 1));
  const data = new Uint8Array(sorted.reduce((sum, { ref }) => sum + inlineRefSize(ref.type)!, 0));
  const view = viewOf(data);
  let at = 0;
  for (const { ref } of sorted) {
    writeInlineRef(view, at, ref, refCount(ref));
    at += inlineRefSize(ref.type)!;
  }
  return data;
}

/** Writes an inline reference at byte `at`, with its type. @param count In place of the reference's own. */
export function writeInlineRef(view: DataView, at: number, ref: ExtentRef, count: number): void {
  view.setUint8(at, ref.type);
  if (ref.type === EXTENT_DATA_REF) {
    writeDataRef(view, at + 1, ref);
    view.setUint32(at + 1 + ExtentDataRef.offsets.count, count, true);
    return;
  }
  view.setBigUint64(at + 1, "root" in ref ? ref.root : ref.parent, true);
  if (ref.type === SHARED_DATA_REF) view.setUint32(at + 9, count, true);
}

/** The data of an item of its own for a reference. */
export function encodeKeyedRef(ref: ExtentRef): Uint8Array {
  if (ref.type === EXTENT_DATA_REF) {
    const data = new Uint8Array(ExtentDataRef.byteLength);
    writeDataRef(viewOf(data), 0, ref);
    return data;
  }
  const data = new Uint8Array(ref.type === SHARED_DATA_REF ? 4 : 0);
  if (ref.type === SHARED_DATA_REF) viewOf(data).setUint32(0, ref.count, true);
  return data;
}

function writeDataRef(view: DataView, at: number, ref: ExtentRef & { type: typeof EXTENT_DATA_REF }): void {
  const item = new ExtentDataRef(view, at);
  item.root = ref.root;
  item.objectid = ref.objectid;
  item.offset = ref.offset;
  item.count = ref.count;
}
