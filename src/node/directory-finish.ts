import { displayName } from "../bytes/display.ts";
import { BtrfsError } from "../errors.ts";
import { joinPath } from "../fs/path.ts";
import type { Handle } from "../restore/target.ts";
import type { DirectoryHost } from "./directory-host.ts";
import { type Difference, differs, type Records } from "./directory-records.ts";

/** How what a path leads to differs from what was sent. */
export interface PathDifference {
  readonly path: Uint8Array;
  readonly difference: Difference;
}

type Differences = Generator<PathDifference>;

/**
 * Goes through a tree that is complete: sets the modes that had to wait, and tells how what is there differs.
 *
 * @throws {BtrfsError} `io`, where an inode that something is remembered of is not there.
 */
export function* finishTree(host: DirectoryHost, root: Handle, records: Records): Differences {
  if (records.size === 0) return;
  const found = new Set<bigint>();
  yield* finishDirectory(host, records, root, new Uint8Array(0), found);
  if (found.size < records.size) {
    const lost = records.size - found.size;
    throw new BtrfsError("io", `Cannot complete: ${lost} inodes have other numbers than when they were made`);
  }
}

function* finishDirectory(
  host: DirectoryHost,
  records: Records,
  directory: Handle,
  path: Uint8Array,
  found: Set<bigint>,
): Differences {
  for (const name of host.list(directory)) {
    const child = joinPath(path, name);
    const { kind } = host.stat(directory, name);
    if (kind === "directory") {
      const below = host.below(directory).openDirectory(name);
      try {
        yield* finishDirectory(host, records, below, child, found);
      } finally {
        host.close(below);
      }
    } else yield* finishInode(host, records, directory, name, child, found);
  }
  yield* finishInode(host, records, directory, undefined, path, found);
}

function* finishInode(
  host: DirectoryHost,
  records: Records,
  handle: Handle,
  name: Uint8Array | undefined,
  path: Uint8Array,
  found: Set<bigint>,
): Differences {
  const { inode } = host.stat(handle, name);
  const record = records.find(inode);
  if (record === undefined) return;
  found.add(inode);
  if (record.lateMode !== undefined && !host.setMode(handle, name, record.lateMode)) {
    const sentence = `Cannot set mode ${record.lateMode.toString(8)}: the host does not let it`;
    throw new BtrfsError("permission", sentence, { where: { path: displayName(path) } });
  }
  if (differs(record)) yield { path, difference: record };
}
