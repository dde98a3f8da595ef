import { pooledBytes } from "../bytes/pool.ts";
import { BtrfsError, CorruptError } from "../errors.ts";
import { MAX_PATH_BYTES } from "../stream/encode.ts";
import type { Snapshot } from "./snapshot.ts";
import { ROOT_INODE } from "./state.ts";

const SLASH = 0x2f;

export function join(directory: Uint8Array, name: Uint8Array): Uint8Array {
  if (directory.byteLength === 0) return name;
  const path = pooledBytes(directory.byteLength + 1 + name.byteLength);
  path.set(directory);
  path[directory.byteLength] = SLASH;
  path.set(name, directory.byteLength + 1);
  return path;
}

/** A path that is found from its last component up to its first. */
export class PathParts {
  readonly #parts: Uint8Array[] = [];
  /** One more than the path has, for the slash that is not there. */
  #length = 0;

  /** @throws {BtrfsError} `limit`, when it gets too long for a stream. */
  add(name: Uint8Array): void {
    this.#parts.push(name);
    this.#length += name.byteLength + 1;
    if (this.#length <= MAX_PATH_BYTES + 1) return;
    const most = `at most ${MAX_PATH_BYTES} fit`;
    throw new BtrfsError("limit", `Cannot send path: it has over ${this.#length - 2} bytes, ${most}`);
  }

  path(): Uint8Array {
    const path = pooledBytes(Math.max(this.#length - 1, 0));
    let end = path.byteLength;
    for (const part of this.#parts) {
      path.set(part, end - part.byteLength);
      end -= part.byteLength + 1;
      if (end >= 0) path[end] = SLASH;
    }
    return path;
  }
}

/** Path of an inode in a finished snapshot, by its first name and theirs above it. A lookup, as the snapshot's are. */
export function pathIn(snapshot: Snapshot, ino: number): Uint8Array {
  const parts = new PathParts();
  for (let at = ino; at !== ROOT_INODE; ) {
    const { dir, name } = snapshot.getFirstName(at);
    parts.add(name);
    at = dir;
  }
  return parts.path();
}

/** Names are at least a byte long, so a path of so many is too long for a stream anyway. */
export function checkDepth(depth: number, snapshot: Snapshot, ino: number): void {
  if (depth <= MAX_PATH_BYTES) return;
  throw new CorruptError("Cannot find path: the directories above it go round in a circle", snapshot.where(ino));
}

export function keyOf(ino: number, generation: number): string {
  return `${ino}-${generation}`;
}
