import { constants } from "node:fs";
import { statx } from "./attributes.ts";
import type { Native } from "./native.ts";
import { close, openat, readDirectory } from "./open.ts";

/** A name found below a directory. `directory` is open until the next entry is asked for: it leads to xattrs and content. */
export interface WalkEntry {
  /** From where the walk began. */
  readonly path: Uint8Array;
  readonly directory: number;
  readonly name: Uint8Array;
  readonly stat: ReturnType<typeof statx>;
}

const SLASH = Uint8Array.of(0x2f);

/** Everything below an open directory, parents first, names in the order of the bytes. Symbolic links are not followed. */
export function* walk(native: Native, top: number): Generator<WalkEntry> {
  const stack = [levelOf(native, top, new Uint8Array(0))];
  try {
    for (let level = stack.at(-1); level !== undefined; level = stack.at(-1)) {
      const name = level.names[level.next++];
      if (name === undefined) {
        stack.pop();
        if (level.fd !== top) close(native, level.fd);
        continue;
      }
      const stat = statx(native, level.fd, name);
      const path = Buffer.concat(level.path.byteLength === 0 ? [name] : [level.path, SLASH, name]);
      yield { path, directory: level.fd, name, stat };
      if ((stat.mode & constants.S_IFMT) !== constants.S_IFDIR) continue;
      const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
      stack.push(levelOf(native, openat(native, level.fd, name, flags), path));
    }
  } finally {
    for (const { fd } of stack) if (fd !== top) close(native, fd);
  }
}

function levelOf(native: Native, fd: number, path: Uint8Array) {
  const names = Array.from(readDirectory(native, fd), ({ name }) => name).sort(Buffer.compare);
  return { fd, path, names, next: 0 };
}
