import { viewOf } from "../bytes/bytes.ts";
import { writeSafe } from "../bytes/u64.ts";
import { BtrfsError, CorruptError } from "../errors.ts";
import {
  BLOCK_FLAG_FULL_BACKREF,
  decodeInlineRefs,
  decodeKeyedRefs,
  EXTENT_FLAG_DATA,
  EXTENT_FLAG_TREE_BLOCK,
  ExtentItem,
  type ExtentRef,
  inlineRefSize,
  inlineRefsAt,
  TreeBlockInfo,
} from "../format/extent-item.ts";
import { type Key, keyOf, packKey, packNumbers } from "../format/key.ts";
import { EXTENT_DATA_REF, EXTENT_ITEM, METADATA_ITEM } from "../format/key-type.ts";
import { ITEM_HEADER_BYTES, itemBytes, slotKey } from "../format/node.ts";
import type { Sharing } from "./cow.ts";
import { type DelayedRefs, isSameRef, type RefHead } from "./delayed-refs.ts";
import type { Editor } from "./editor.ts";
import { encodeInlineRefs, encodeKeyedRef, refCount, refSequence, withCount, writeInlineRef } from "./extent-refs.ts";
import { leafCapacity } from "./leaf.ts";
import type { OpenTree } from "./open-tree.ts";

/** An extent that nothing refers to any more. */
export interface FreedExtent {
  readonly logical: number;
  readonly length: number;
  readonly isData: boolean;
  /** It was made since the last commit. */
  readonly isNew: boolean;
}

export interface ExtentTreeOptions {
  readonly generation: number;
  readonly nodeSize: number;
  /** Tree blocks have METADATA_ITEMs. */
  readonly skinny: boolean;
  readonly freed: (extent: FreedExtent) => Promise<void>;
}

/** An extent item while it is changed. */
interface Record {
  readonly key: Key;
  readonly item: InstanceType<typeof ExtentItem>;
  /** Between the item and its inline references: key and level of a block under EXTENT_ITEM. */
  readonly info: Uint8Array;
  inline: ExtentRef[];
}

/** References of one extent that may have the same hash: chance does not make two, a stream can. */
const MAX_COLLISIONS = 4096n;

/** An extent item with one inline reference. */
const MAX_NEW_BYTES = ExtentItem.byteLength + 29;

/** Extents and who refers to them. */
export class ExtentTree {
  readonly #editor: Editor;
  readonly #tree: () => OpenTree;
  readonly #refs: DelayedRefs;
  readonly #options: ExtentTreeOptions;
  /** Longest extent item: beyond, references get items of their own. */
  readonly #maxBytes: number;
  #scratch = new Uint8Array(MAX_NEW_BYTES);
  #scratchView = viewOf(this.#scratch);

  constructor(editor: Editor, tree: () => OpenTree, refs: DelayedRefs, options: ExtentTreeOptions) {
    this.#editor = editor;
    this.#tree = tree;
    this.#refs = refs;
    this.#options = options;
    this.#maxBytes = Math.floor(leafCapacity(options.nodeSize) / 16) - ITEM_HEADER_BYTES;
  }

  /** References of a tree block, with those that wait. */
  async sharingOf(logical: number, level: number): Promise<Sharing> {
    const head = this.#refs.at(logical);
    let refs = 0;
    let full = head?.setFull === true;
    if (head?.created !== true) {
      const { item } = await this.#load(logical, this.#options.nodeSize, level);
      refs = Number(item.refs);
      full ||= (item.flags & BLOCK_FLAG_FULL_BACKREF) !== 0n;
    }
    for (const { delta } of head?.deltas ?? []) refs += delta;
    return { refs, full };
  }

  /** Applies all changes of references that wait, and those that this brings about. */
  async applyAll(): Promise<void> {
    while (this.#refs.size > 0) {
      for (const logical of this.#refs.addresses()) {
        const head = this.#refs.take(logical);
        if (head === undefined) continue;
        const done = this.#applyNew(head) ?? this.#apply(head);
        if (done instanceof Promise) await done;
      }
    }
  }

  /**
   * The item of a new extent with one inline reference, as nearly all are.
   *
   * @returns `undefined`: nothing is done, it is another case.
   */
  #applyNew({ logical, length, level, created, setFull, deltas }: RefHead): Promise<void> | true | undefined {
    const { generation, skinny } = this.#options;
    const isData = level < 0;
    if (!created || deltas.length !== 1 || setFull || (!isData && !skinny)) return undefined;
    const { ref, delta } = deltas[0]!;
    const inlineSize = inlineRefSize(ref.type)!;
    if (delta < 1 || (!isData && delta !== 1)) return undefined;
    const data = this.#scratch.subarray(0, ExtentItem.byteLength + inlineSize);
    const view = this.#scratchView;
    writeSafe(view, ExtentItem.offsets.refs, delta);
    writeSafe(view, ExtentItem.offsets.generation, generation);
    writeSafe(view, ExtentItem.offsets.flags, Number(isData ? EXTENT_FLAG_DATA : EXTENT_FLAG_TREE_BLOCK));
    writeInlineRef(view, ExtentItem.byteLength, ref, delta);
    const key = isData ? packNumbers(logical, EXTENT_ITEM, length) : packNumbers(logical, METADATA_ITEM, level);
    const done = this.#editor.insert(this.#tree(), key, data);
    // Where it waits, the next one must not write over the data.
    if (done === undefined) return true;
    this.#scratch = new Uint8Array(MAX_NEW_BYTES);
    this.#scratchView = viewOf(this.#scratch);
    return done;
  }

  async #apply(head: RefHead): Promise<void> {
    const { logical, length, level } = head;
    if (head.created) {
      const refs = head.deltas.map(({ ref, delta }) => withCount(ref, delta, logical)!);
      if (refs.length === 0) await this.#freed(head, true);
      else await this.#insert(head, refs);
      return;
    }
    if (head.deltas.length === 0 && !head.setFull) return;
    const record = await this.#load(logical, length, level);
    const isNew = record.item.generation === BigInt(this.#options.generation);
    const inlineBefore = encodedBytes(record.inline);
    if (head.setFull) record.item.flags |= BLOCK_FLAG_FULL_BACKREF;
    for (const { ref, delta } of head.deltas) await this.#changeRef(record, ref, delta);
    if (record.item.refs === 0n) {
      await this.#editor.remove(this.#tree(), packKey(record.key));
      await this.#freed(head, isNew);
    } else {
      await this.#store(record, encodedBytes(record.inline) === inlineBefore);
    }
  }

  async #freed({ logical, length, level }: RefHead, isNew: boolean): Promise<void> {
    await this.#options.freed({ logical, length, isData: level < 0, isNew });
  }

  async #insert(head: RefHead, refs: readonly ExtentRef[]): Promise<void> {
    const { logical, length, level } = head;
    const isData = level < 0;
    const { generation, skinny } = this.#options;
    const key =
      isData || !skinny
        ? keyOf(BigInt(logical), EXTENT_ITEM, BigInt(length))
        : keyOf(BigInt(logical), METADATA_ITEM, BigInt(level));
    const info = new Uint8Array(isData || skinny ? 0 : TreeBlockInfo.byteLength);
    // The key in it is a hint that nobody needs; the level is looked at.
    if (info.byteLength > 0) new TreeBlockInfo(viewOf(info)).level = level;
    const item = new ExtentItem(viewOf(new Uint8Array(ExtentItem.byteLength)));
    item.generation = BigInt(generation);
    item.flags = isData ? EXTENT_FLAG_DATA : EXTENT_FLAG_TREE_BLOCK | (head.setFull ? BLOCK_FLAG_FULL_BACKREF : 0n);
    const record: Record = { key, item, info, inline: [] };
    for (const ref of refs) {
      item.refs += BigInt(refCount(ref));
      if (this.#fitsInline(record, ref)) record.inline.push(ref);
      else await this.#insertKeyed(logical, ref);
    }
    await this.#editor.insert(this.#tree(), packKey(key), encodeRecord(record));
  }

  async #changeRef(record: Record, ref: ExtentRef, delta: number): Promise<void> {
    const found = record.inline.find((candidate) => isSameRef(candidate, ref));
    const isAllInline = inlineCount(record) === Number(record.item.refs);
    const logical = Number(record.key.objectid);
    const refs = record.item.refs + BigInt(delta);
    if (refs < 0n) {
      throw new CorruptError(`Cannot drop references: the extent has ${record.item.refs}`, { logical });
    }
    record.item.refs = refs;
    if (found !== undefined) {
      const changed = withCount(found, refCount(found) + delta, logical);
      record.inline = record.inline.flatMap((other) =>
        other !== found ? [other] : changed === undefined ? [] : [changed],
      );
      return;
    }
    if (delta > 0 && isAllInline && this.#fitsInline(record, ref)) {
      record.inline.push(withCount(ref, delta, logical)!);
      return;
    }
    await this.#changeKeyed(logical, ref, delta);
  }

  #fitsInline(record: Record, ref: ExtentRef): boolean {
    const size = ExtentItem.byteLength + record.info.byteLength + encodedBytes(record.inline);
    return size + inlineRefSize(ref.type)! < this.#maxBytes;
  }

  async #insertKeyed(logical: number, ref: ExtentRef): Promise<void> {
    await this.#changeKeyed(logical, ref, refCount(ref));
  }

  async #changeKeyed(logical: number, ref: ExtentRef, delta: number): Promise<void> {
    const { key, found } = await this.#findKeyed(logical, ref);
    const changed = withCount(ref, (found === undefined ? 0 : refCount(found)) + delta, logical);
    const tree = this.#tree();
    if (changed === undefined) await this.#editor.remove(tree, packKey(key));
    else if (found === undefined) await this.#editor.insert(tree, packKey(key), encodeKeyedRef(changed));
    else await this.#editor.replace(tree, packKey(key), encodeKeyedRef(changed));
  }

  /** The item of a reference, or the key that it would get: the next free one, where hashes collide. */
  async #findKeyed(logical: number, ref: ExtentRef): Promise<{ key: Key; found: ExtentRef | undefined }> {
    const hash = refSequence(ref);
    const key = keyOf(BigInt(logical), ref.type, hash);
    const data = await this.#editor.get(this.#tree(), packKey(key));
    const found = data === undefined ? undefined : decodeKeyedRefs(viewOf(data), ref.type, hash)[0]!;
    if (ref.type !== EXTENT_DATA_REF || (found !== undefined && isSameRef(found, ref))) return { key, found };
    // Others were in its way, and may have been removed since: it can lie behind a gap.
    let free = hash;
    const walk = this.#editor.walk(this.#tree(), { first: key, last: { ...key, offset: hash + MAX_COLLISIONS } });
    for (let span = await walk.next(); span !== undefined; span = await walk.next()) {
      for (let slot = span.first; slot < span.last; slot++) {
        const { offset } = slotKey(span.leaf, slot);
        const other = decodeKeyedRefs(viewOf(itemBytes(span.leaf, slot)), ref.type, offset)[0]!;
        if (isSameRef(other, ref)) return { key: { ...key, offset }, found: other };
        if (offset === free) free++;
      }
    }
    if (free < hash + MAX_COLLISIONS) return { key: { ...key, offset: free }, found: undefined };
    const sentence = `Cannot add reference: ${MAX_COLLISIONS} others of the extent have its hash`;
    throw new BtrfsError("limit", sentence, { where: { logical } });
  }

  async #load(logical: number, length: number, level: number): Promise<Record> {
    // A block may have either kind of item, whatever new ones get: EXTENT_ITEM comes right before METADATA_ITEM.
    const wanted =
      level < 0
        ? keyOf(BigInt(logical), EXTENT_ITEM, BigInt(length))
        : keyOf(BigInt(logical), METADATA_ITEM, BigInt(level));
    const span = await this.#editor.find(this.#tree(), packKey(wanted), "atOrBefore");
    const key = span === undefined ? undefined : slotKey(span.leaf, span.first);
    const isIt =
      key?.objectid === BigInt(logical) &&
      ((key.type === METADATA_ITEM && level >= 0 && key.offset === BigInt(level)) ||
        (key.type === EXTENT_ITEM && key.offset === BigInt(length)));
    if (span === undefined || key === undefined || !isIt) {
      throw new CorruptError(`Cannot find extent of ${length} bytes: the extent tree has no item for it`, { logical });
    }
    const data = itemBytes(span.leaf, span.first).slice();
    const item = new ExtentItem(viewOf(data));
    return {
      key,
      item,
      info: data.subarray(ExtentItem.byteLength, inlineRefsAt(key.type, item.flags)),
      inline: decodeInlineRefs(viewOf(data), key.type, { logical }),
    };
  }

  async #store(record: Record, sameSize: boolean): Promise<void> {
    const data = encodeRecord(record);
    if (sameSize) await this.#editor.edit(this.#tree(), packKey(record.key), (bytes) => bytes.set(data));
    else await this.#editor.replace(this.#tree(), packKey(record.key), data);
  }
}

function encodedBytes(refs: readonly ExtentRef[]): number {
  return refs.reduce((sum, { type }) => sum + inlineRefSize(type)!, 0);
}

function inlineCount({ inline }: Record): number {
  return inline.reduce((sum, ref) => sum + refCount(ref), 0);
}

function encodeRecord({ item, info, inline }: Record): Uint8Array {
  const refs = encodeInlineRefs(inline);
  const data = new Uint8Array(ExtentItem.byteLength + info.byteLength + refs.byteLength);
  data.set(new Uint8Array(item.view.buffer, item.view.byteOffset + item.at, ExtentItem.byteLength));
  data.set(info, ExtentItem.byteLength);
  data.set(refs, ExtentItem.byteLength + info.byteLength);
  return data;
}
