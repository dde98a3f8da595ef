import type { Handle } from "../restore/target.ts";
import { TargetError } from "../restore/target.ts";
import type { Reach } from "./directory-attributes.ts";
import type { DirectoryHost } from "./directory-host.ts";

const MAX_OPEN = 16;
const SLASH = 0x2f;

/** Directories of one tree, kept open by their paths: a stream comes back to the same few. */
export class Directories {
  readonly host: DirectoryHost;
  readonly root: Handle;
  readonly #open = new Map<string, Handle>();

  /** @param host With the tree as its top; `root` is closed with the rest. */
  constructor(host: DirectoryHost, root: Handle) {
    this.host = host;
    this.root = root;
  }

  /** Where a path is reached; the empty one is the top itself. The handle is good until the next call. */
  reach(path: Uint8Array): Reach {
    if (path.byteLength === 0) return { handle: this.root, name: undefined };
    const slash = path.lastIndexOf(SLASH);
    if (slash < 0) return { handle: this.root, name: path };
    return { handle: this.#directory(path.subarray(0, slash)), name: path.subarray(slash + 1) };
  }

  /** As `reach`, for a path that is a name. */
  entry(path: Uint8Array): { readonly handle: Handle; readonly name: Uint8Array } {
    const { handle, name } = this.reach(path);
    if (name === undefined) throw new TargetError("path", "Cannot use path: it is empty, a name was expected");
    return { handle, name };
  }

  /** As two `entry` calls whose handles are good together. */
  entries(first: Uint8Array, second: Uint8Array) {
    const one = this.entry(first);
    const other = this.entry(second);
    // With so many open, the second can have closed the first only by opening its own.
    return [this.#isOpen(one.handle) ? one : this.entry(first), other] as const;
  }

  #isOpen(handle: Handle): boolean {
    return handle === this.root || [...this.#open.values()].includes(handle);
  }

  #directory(path: Uint8Array): Handle {
    const key = keyOf(path);
    const known = this.#open.get(key);
    if (known !== undefined) {
      if (this.#open.size > MAX_OPEN / 2) {
        // The order of the map is that of use.
        this.#open.delete(key);
        this.#open.set(key, known);
      }
      return known;
    }
    const handle = this.host.openDirectory(path);
    this.#open.set(key, handle);
    if (this.#open.size > MAX_OPEN) {
      const [oldest, old] = this.#open.entries().next().value!;
      this.#open.delete(oldest);
      this.host.close(old);
    }
    return handle;
  }

  /** A name is about to lead elsewhere: it, and all below it. */
  forget(path: Uint8Array): void {
    if (this.#open.size === 0) return;
    const key = keyOf(path);
    for (const [name, handle] of this.#open) {
      if (name !== key && !(name.startsWith(key) && name[key.length] === "/")) continue;
      this.#open.delete(name);
      this.host.close(handle);
    }
  }

  close(): void {
    for (const handle of this.#open.values()) this.host.close(handle);
    this.#open.clear();
    this.host.close(this.root);
  }
}

/** A path as a string: a character for a byte. */
export function keyOf(path: Uint8Array): string {
  return Buffer.from(path.buffer, path.byteOffset, path.byteLength).toString("latin1");
}
