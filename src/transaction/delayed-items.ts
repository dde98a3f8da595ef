import { viewOf } from "../bytes/bytes.ts";
import { BtrfsError } from "../errors.ts";
import { KEY_BYTES, packNumbers, writeKey } from "../format/key.ts";
import { ITEM_HEADER_BYTES, itemBytes } from "../format/node.ts";
import type { LeafSpan } from "../tree/source.ts";
import { missing, whereOf } from "./descent.ts";
import type { Editor } from "./editor.ts";
import { leafCapacity } from "./leaf.ts";
import type { OpenTree } from "./open-tree.ts";
import { Wait } from "./wait.ts";

/** An item as it is to be, or that it is not to be. */
export class DelayedItem {
  readonly type: number;
  /** Offset in the key. */
  readonly offset: number;
  /** `undefined`: there is no such item. */
  data: Uint8Array | undefined;
  /** Whether the tree has an item of this key. */
  inTree: boolean;
  /** Whether the tree has it otherwise. */
  isChanged: boolean;
  #view: DataView | undefined;

  constructor(type: number, offset: number, data: Uint8Array | undefined, inTree: boolean) {
    this.type = type;
    this.offset = offset;
    this.data = data;
    this.inTree = inTree;
    this.isChanged = false;
    this.#view = undefined;
  }

  /** Of the data. */
  get view(): DataView {
    this.#view ??= viewOf(this.data!);
    return this.#view;
  }

  set(data: Uint8Array | undefined): void {
    this.data = data;
    this.#view = undefined;
    this.isChanged = this.inTree || data !== undefined;
  }
}

interface DelayedObject {
  /** All that there is of the object is here: the tree has nothing of it. */
  readonly isWhole: boolean;
  /** In the order of their keys. */
  readonly items: DelayedItem[];
}

/** Data of small items is cut from pieces of so many bytes. */
const SLAB_BYTES = 1 << 16;
/** What an item takes in memory besides its data. */
const ITEM_BYTES = 200;

/**
 * Items of a subvolume that were looked at or changed, in memory, object by object: most are changed several times, by the
 * commands that make a file, and many are gone again before a tree would have had to have them. They go to the leaves
 * sorted, many to a leaf, when somebody wants to see the tree itself, when they are many, and before a commit.
 *
 * Keys are numbers: those that do not fit into 53 bits go past this. Nothing here waits; where a block has to be read first
 * and can't be at once, `Wait` is thrown, and nothing has changed.
 */
export class DelayedItems {
  /** Counts changes: a step that waits must not have begun to change anything. */
  readonly #log: { changes: number };
  readonly #editor: Editor;
  readonly #tree: OpenTree;
  readonly #maxBytes: number;
  readonly #key = new DataView(new ArrayBuffer(KEY_BYTES));
  #objects = new Map<number, DelayedObject>();
  #bytes = 0;
  #slab = new Uint8Array(0);
  #slabUsed = 0;
  #failure: { readonly error: unknown } | undefined;
  // Commands are mostly about the same object as the one before.
  #lastId = -1;
  #last: DelayedObject | undefined;

  constructor(editor: Editor, tree: OpenTree, nodeSize: number, log: { changes: number }) {
    this.#log = log;
    this.#editor = editor;
    this.#tree = tree;
    this.#maxBytes = leafCapacity(nodeSize) - ITEM_HEADER_BYTES;
  }

  get isEmpty(): boolean {
    return this.#objects.size === 0;
  }

  /** Of memory, about. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Begins an object that the tree has nothing of. */
  begin(objectid: number): void {
    this.#begin(objectid, true);
  }

  /** Whether all items of an object are here. */
  isWhole(objectid: number): boolean {
    return this.#object(objectid)?.isWhole === true;
  }

  /** The items of an object that is whole, in the order of their keys. */
  itemsOf(objectid: number): readonly DelayedItem[] {
    return this.#object(objectid)?.items ?? [];
  }

  /** Whether anything is here of the items of one type of an object. */
  hasAny(objectid: number, type: number): boolean {
    const items = this.#object(objectid)?.items;
    return items !== undefined && items[lowerBound(items, type, 0)]?.type === type;
  }

  /** An item that there is. Its data may be changed where it lies, after `mark`. @throws {Wait} */
  find(objectid: number, type: number, offset: number): DelayedItem | undefined {
    const item = this.#look(objectid, type, offset);
    return item?.data === undefined ? undefined : item;
  }

  /** @throws {BtrfsError} `missing`; {Wait}. */
  get(objectid: number, type: number, offset: number): DelayedItem {
    const item = this.find(objectid, type, offset);
    if (item === undefined) throw missing(this.#tree, packNumbers(objectid, type, offset));
    return item;
  }

  /** The data of the item is changed where it lies. */
  mark(item: DelayedItem): void {
    this.#log.changes++;
    item.isChanged = true;
  }

  /**
   * A new item.
   *
   * @returns Its data, zeroed, to be filled in.
   * @throws {BtrfsError} `exists`, `limit`; {Wait}.
   */
  insert(objectid: number, type: number, offset: number, size: number): DelayedItem {
    this.#look(objectid, type, offset);
    return this.add(objectid, type, offset, size);
  }

  /** As `insert`, of an item that the caller has not found. @throws {BtrfsError} `exists`, `limit`. */
  add(objectid: number, type: number, offset: number, size: number): DelayedItem {
    this.#demandSize(objectid, type, offset, size);
    const object = this.#object(objectid) ?? this.#begin(objectid, false);
    const { items } = object;
    const index = lowerBound(items, type, offset);
    const known = items[index];
    if (known !== undefined && known.type === type && known.offset === offset) {
      if (known.data !== undefined) {
        const where = whereOf(this.#tree, packNumbers(objectid, type, offset));
        throw new BtrfsError("exists", "Cannot insert item: its key is taken", { where });
      }
      this.#log.changes++;
      known.set(this.#room(size));
      return known;
    }
    this.#log.changes++;
    const item = new DelayedItem(type, offset, this.#room(size), false);
    item.isChanged = true;
    this.#place(items, index, item);
    return item;
  }

  /** Gives an item other data, of any length. It is copied. @throws {BtrfsError} `limit`. */
  replace(objectid: number, item: DelayedItem, data: Uint8Array): void {
    this.#demandSize(objectid, item.type, item.offset, data.byteLength);
    this.#log.changes++;
    const room = this.#room(data.byteLength);
    room.set(data);
    item.set(room);
  }

  remove(objectid: number, item: DelayedItem): void {
    this.#log.changes++;
    const items = this.#object(objectid)?.items;
    this.#bytes -= item.data?.byteLength ?? 0;
    item.set(undefined);
    // What the tree does not have either can be forgotten.
    if (item.inTree || items === undefined) return;
    items.splice(lowerBound(items, item.type, item.offset), 1);
    this.#bytes -= ITEM_BYTES;
  }

  /** Forgets an object that is whole: it was never anywhere else. */
  drop(objectid: number): void {
    this.#log.changes++;
    this.#objects.delete(objectid);
    this.#lastId = -1;
  }

  /** Puts into the tree what it has otherwise, and forgets all. @throws {BtrfsError} `space`; it can't be gone on with then. */
  async flush(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.isEmpty) return;
    const objects = [...this.#objects].sort(([a], [b]) => a - b);
    this.#objects = new Map();
    this.#bytes = 0;
    this.#slab = new Uint8Array(0);
    this.#slabUsed = 0;
    this.#lastId = -1;
    const key = new DataView(new ArrayBuffer(KEY_BYTES));
    try {
      for (const [objectid, { items }] of objects) {
        for (const item of items) {
          if (!item.isChanged) continue;
          writeKey(key, objectid, item.type, item.offset);
          const done = this.#put(key, item);
          if (done !== undefined) await done;
        }
      }
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  }

  #put(key: DataView, { data, inTree }: DelayedItem): void | Promise<void> {
    if (data === undefined) return this.#editor.remove(this.#tree, key);
    return inTree ? this.#editor.replace(this.#tree, key, data) : this.#editor.insert(this.#tree, key, data);
  }

  #object(objectid: number): DelayedObject | undefined {
    if (objectid === this.#lastId) return this.#last;
    const object = this.#objects.get(objectid);
    if (object !== undefined) [this.#lastId, this.#last] = [objectid, object];
    return object;
  }

  /** What is known of a key, from the tree if need be; `undefined` where that needs no note. */
  #look(objectid: number, type: number, offset: number): DelayedItem | undefined {
    const object = this.#object(objectid);
    if (object !== undefined) {
      const item = object.items[lowerBound(object.items, type, offset)];
      if (item !== undefined && item.type === type && item.offset === offset) return item;
      if (object.isWhole) return undefined;
    }
    writeKey(this.#key, objectid, type, offset);
    const found = this.#editor.find(this.#tree, this.#key);
    if (found === undefined) return undefined;
    if (!(found instanceof Promise)) return this.#note(objectid, type, offset, found);
    throw new Wait(found.then((span) => void this.#note(objectid, type, offset, span)));
  }

  #note(objectid: number, type: number, offset: number, span: LeafSpan | undefined): DelayedItem {
    let data: Uint8Array | undefined;
    if (span !== undefined) {
      const bytes = itemBytes(span.leaf, span.first);
      data = this.#room(bytes.byteLength);
      data.set(bytes);
    }
    const item = new DelayedItem(type, offset, data, span !== undefined);
    const { items } = this.#object(objectid) ?? this.#begin(objectid, false);
    this.#place(items, lowerBound(items, type, offset), item);
    return item;
  }

  #begin(objectid: number, isWhole: boolean): DelayedObject {
    const object = { isWhole, items: [] };
    this.#objects.set(objectid, object);
    this.#lastId = -1;
    return object;
  }

  #place(items: DelayedItem[], index: number, item: DelayedItem): void {
    if (index === items.length) items.push(item);
    else items.splice(index, 0, item);
    this.#bytes += ITEM_BYTES;
  }

  #room(size: number): Uint8Array {
    this.#bytes += size;
    if (size > SLAB_BYTES / 8) return new Uint8Array(size);
    if (this.#slabUsed + size > this.#slab.byteLength) {
      this.#slab = new Uint8Array(SLAB_BYTES);
      this.#slabUsed = 0;
    }
    const start = this.#slabUsed;
    this.#slabUsed += size;
    return this.#slab.subarray(start, start + size);
  }

  #demandSize(objectid: number, type: number, offset: number, size: number): void {
    if (size <= this.#maxBytes) return;
    throw new BtrfsError("limit", `Cannot insert item: it has ${size} bytes, ${this.#maxBytes} fit`, {
      where: whereOf(this.#tree, packNumbers(objectid, type, offset)),
    });
  }
}

/** Index of the first item that is not before this key. What is added mostly comes last. */
function lowerBound(items: readonly DelayedItem[], type: number, offset: number): number {
  let low = 0;
  let high = items.length;
  if (high > 0 && isBefore(items[high - 1]!, type, offset)) return high;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(items[middle]!, type, offset)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isBefore(item: DelayedItem, type: number, offset: number): boolean {
  return item.type < type || (item.type === type && item.offset < offset);
}
