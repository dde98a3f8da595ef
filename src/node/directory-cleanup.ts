import { displayName } from "../bytes/display.ts";
import type { Handle } from "../restore/target.ts";
import { neededBits } from "./directory-attributes.ts";
import type { DirectoryHost } from "./directory-host.ts";
import { Sidecar } from "./directory-sidecar.ts";
import { SIDECAR } from "./directory-sidecar-lines.ts";

const TOP = new Uint8Array(0);

/** A subvolume that an interrupted receive left in a directory. */
export interface UnfinishedDirectory {
  /** For people. */
  readonly name: string;
  /**
   * `removed`; `found` where only looked for; `in place`: it was made out of an earlier one, and all that is left of that
   * is in it, so that nobody but a person may delete it.
   */
  readonly state: "found" | "removed" | "in place";
}

/**
 * Looks for what interrupted receives have left in the host's top directory, and removes it with `remove`. Nothing but
 * what the sidecar has as unfinished is touched.
 *
 * @throws {BtrfsError} `busy` while another process receives there.
 */
export function cleanDirectory(host: DirectoryHost, options: { readonly remove: boolean }): UnfinishedDirectory[] {
  const top = host.openDirectory(TOP);
  try {
    if (!host.has(top, SIDECAR)) return [];
    const sidecar = Sidecar.open(host);
    try {
      const found: UnfinishedDirectory[] = [];
      for (const entry of sidecar.subvolumes) {
        if (entry.state !== "receiving") continue;
        const isThere = host.has(top, entry.path);
        const name = displayName(entry.path);
        // A later one of the name counts: it has what is there.
        const isOwn = sidecar.at(entry.path) === entry;
        if (entry.inPlace && isThere && isOwn) found.push({ name, state: "in place" });
        else if (isThere && isOwn) found.push({ name, state: options.remove ? "removed" : "found" });
        if (!options.remove || (entry.inPlace && isThere && isOwn)) continue;
        if (isThere && isOwn) removeTree(host, top, entry.path);
        sidecar.dropDifferences(entry.uuid);
        sidecar.note({ ...entry, state: "gone" });
      }
      return found;
    } finally {
      sidecar.close();
    }
  } finally {
    host.close(top);
  }
}

/** Removes a directory with all that is in it, on this filesystem only; nothing, when there is none. */
export function removeTree(host: DirectoryHost, parent: Handle, name: Uint8Array): void {
  if (!host.has(parent, name)) return;
  const stat = host.stat(parent, name);
  if (stat.kind !== "directory") {
    host.unlink(parent, name);
    return;
  }
  const needed = neededBits(stat);
  if (!host.isPrivileged && (stat.mode & needed) !== needed) host.setMode(parent, name, stat.mode | needed);
  const directory = host.below(parent).openDirectory(name);
  try {
    for (const child of host.list(directory)) removeTree(host, directory, child);
  } finally {
    host.close(directory);
  }
  host.removeDirectory(parent, name);
}
