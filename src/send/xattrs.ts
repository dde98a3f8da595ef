import { equalBytes, toBytes } from "../bytes/bytes.ts";
import { decodeDirEntries } from "../format/dir-item.ts";
import { itemsOf } from "../format/key.ts";
import { XATTR_ITEM } from "../format/key-type.ts";
import { itemBytes, itemWhere, type Leaf } from "../format/node.ts";
import { ATTRIBUTES } from "../stream/attributes.ts";
import { COMMANDS } from "../stream/commands.ts";
import type { Paths } from "./paths.ts";
import type { SendState } from "./state.ts";
import { andThen, whenRead } from "./unread.ts";

const CAPABILITY = toBytes("security.capability");
const ACLS = [toBytes("system.posix_acl_access"), toBytes("system.posix_acl_default")];
/** An ACL without entries, as a receiver takes it: the version alone. */
const EMPTY_ACL = Uint8Array.of(2, 0, 0, 0);

/** Extended attributes of the current inode. */
export class Xattrs {
  readonly #state: SendState;
  readonly #paths: Paths;

  constructor(state: SendState, paths: Paths) {
    this.#state = state;
    this.#paths = paths;
  }

  async sendNew(leaf: Leaf, slot: number): Promise<void> {
    for (const { name, data } of entriesOf(leaf, slot)) await this.#sendValue(name, data);
  }

  async sendGone(leaf: Leaf, slot: number): Promise<void> {
    for (const { name } of entriesOf(leaf, slot)) await this.#remove(name);
  }

  async sendChanged(left: Leaf, leftSlot: number, right: Leaf, rightSlot: number): Promise<void> {
    const before = entriesOf(right, rightSlot);
    const after = entriesOf(left, leftSlot);
    for (const { name, data } of after) {
      const old = before.find((entry) => equalBytes(entry.name, name));
      if (old === undefined || !equalBytes(old.data, data)) await this.#sendValue(name, data);
    }
    for (const { name } of before) {
      if (!after.some((entry) => equalBytes(entry.name, name))) await this.#remove(name);
    }
  }

  async sendAll(): Promise<void> {
    const { left, ino } = this.#state;
    for await (const { leaf, first, last } of left.tree.leaves(itemsOf(BigInt(ino), XATTR_ITEM))) {
      for (let slot = first; slot < last; slot++) await this.sendNew(leaf, slot);
    }
  }

  /** A change of owner takes capabilities away at the receiver, so they come after it, always. */
  sendCapability(): void | Promise<void> {
    const { left, ino } = this.#state;
    const found = whenRead(() => left.findXattr(ino, CAPABILITY));
    return andThen(found, (value) => (value === undefined ? undefined : this.#set(CAPABILITY, value)));
  }

  /** As the kernel, which compares up to the length of the name: what begins as a special name does counts as it. */
  async #sendValue(name: Uint8Array, data: Uint8Array): Promise<void> {
    if (begins(CAPABILITY, name)) return;
    const isEmptyAcl = data.byteLength === 0 && ACLS.some((acl) => begins(acl, name));
    await this.#set(name, isEmptyAcl ? EMPTY_ACL : data);
  }

  async #set(name: Uint8Array, data: Uint8Array): Promise<void> {
    const { out } = this.#state;
    const path = await whenRead(() => this.#paths.current());
    out.begin(COMMANDS.setXattr);
    out.path(ATTRIBUTES.path, path);
    out.bytes(ATTRIBUTES.xattrName, name);
    out.bytes(ATTRIBUTES.xattrData, data);
    out.end();
  }

  async #remove(name: Uint8Array): Promise<void> {
    const { out } = this.#state;
    const path = await whenRead(() => this.#paths.current());
    out.begin(COMMANDS.removeXattr);
    out.path(ATTRIBUTES.path, path);
    out.bytes(ATTRIBUTES.xattrName, name);
    out.end();
  }
}

function entriesOf(leaf: Leaf, slot: number): ReturnType<typeof decodeDirEntries> {
  return decodeDirEntries(itemBytes(leaf, slot), itemWhere(leaf, slot));
}

function begins(whole: Uint8Array, part: Uint8Array): boolean {
  return part.byteLength <= whole.byteLength && equalBytes(whole.subarray(0, part.byteLength), part);
}
