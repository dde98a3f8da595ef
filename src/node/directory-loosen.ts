import { joinPath } from "../fs/path.ts";
import type { Handle } from "../restore/target.ts";
import { neededBits } from "./directory-attributes.ts";
import type { DirectoryHost } from "./directory-host.ts";
import { keyOf } from "./directory-places.ts";
import type { Difference, Records } from "./directory-records.ts";

/**
 * Readies a tree to be changed in place: an ordinary user gets the rights that its modes deny, which are set again when
 * all is done, and what is known of how it differs is taken over.
 */
export function loosenTree(
  host: DirectoryHost,
  root: Handle,
  records: Records,
  differences: ReadonlyMap<string, Difference>,
): void {
  if (host.isPrivileged && differences.size === 0) return;
  const loosen = (directory: Handle, name: Uint8Array | undefined, path: Uint8Array): void => {
    const stat = host.stat(directory, name);
    const needed = neededBits(stat);
    if (!host.isPrivileged && (stat.mode & needed) !== needed && stat.uid === host.uid) {
      records.of(stat.inode).lateMode = stat.mode;
      host.setMode(directory, name, stat.mode | needed);
    }
    const difference = differences.get(keyOf(path));
    if (difference !== undefined) records.adopt(stat.inode, difference);
    if (stat.kind !== "directory") return;
    const below = name === undefined ? directory : host.below(directory).openDirectory(name);
    try {
      for (const child of host.list(below)) loosen(below, child, joinPath(path, child));
    } finally {
      if (below !== directory) host.close(below);
    }
  };
  loosen(root, undefined, new Uint8Array(0));
}
