import { createHash } from "node:crypto";
import { openDirectoryHost } from "../../src/linux/directory-host.ts";
import type { DirectoryHost } from "../../src/node/directory-host.ts";
import type { TreeEntry } from "../support.ts";

const KINDS = {
  file: "file",
  directory: "dir",
  symlink: "symlink",
  char: "char",
  block: "block",
  fifo: "fifo",
  socket: "socket",
} as const;

/** What a directory of this host holds, as test/kernel/support/tree_of.py tells it; without holes. */
export function hostTree(directory: string): TreeEntry[] {
  const { host, close } = openDirectoryHost(directory);
  try {
    const entries: TreeEntry[] = [];
    const first = new Map<bigint, string>();
    const top = host.openDirectory(new Uint8Array(0));
    tell(host, top, undefined, "", entries, first);
    host.close(top);
    return entries;
  } finally {
    close();
  }
}

function tell(
  host: DirectoryHost,
  parent: number,
  name: Uint8Array | undefined,
  path: string,
  entries: TreeEntry[],
  first: Map<bigint, string>,
): void {
  const stat = host.stat(parent, name);
  const linked = stat.kind !== "directory" && stat.nlink > 1;
  const other = linked ? first.get(stat.inode) : undefined;
  if (linked && other === undefined) first.set(stat.inode, path);
  const xattrs = host.xattrs(parent, name).map((one) => [latin(one.name), Buffer.from(one.value).toString("hex")]);
  entries.push({
    path,
    type: KINDS[stat.kind],
    mode: stat.mode,
    uid: stat.uid,
    gid: stat.gid,
    mtime: String(stat.mtime),
    ...(linked ? { nlink: stat.nlink } : {}),
    ...(other === undefined ? {} : { link: other }),
    ...(stat.kind === "file" ? { size: Number(stat.size), ...contentOf(host, parent, name!, stat.size) } : {}),
    ...(stat.kind === "symlink" ? { target: latin(host.readLink(parent, name!)) } : {}),
    ...(stat.rdev === undefined ? {} : { rdev: [stat.rdev.major, stat.rdev.minor] as const }),
    ...(xattrs.length === 0 ? {} : { xattrs: Object.fromEntries(xattrs.sort()) }),
  });
  if (stat.kind !== "directory") return;
  const directory = name === undefined ? parent : host.below(parent).openDirectory(name);
  for (const child of host.list(directory).sort(Buffer.compare)) {
    tell(host, directory, child, path === "" ? latin(child) : `${path}/${latin(child)}`, entries, first);
  }
  if (directory !== parent) host.close(directory);
}

const LARGE = 256n << 20n;

function contentOf(host: DirectoryHost, directory: number, name: Uint8Array, size: bigint): Partial<TreeEntry> {
  const file = host.openRegular(directory, name, "read");
  const hash = createHash("sha256");
  const buffer = Buffer.alloc(size > LARGE ? 4096 : Number(size));
  try {
    if (size <= LARGE) {
      host.read(file, buffer, 0n);
      return { sha256: hash.update(buffer).digest("hex") };
    }
    for (const { start, end, isHole } of host.segments(file, 0n, size)) {
      for (let at = start & ~4095n; !isHole && at < end; at += 4096n) {
        const block = buffer.subarray(0, host.read(file, buffer, at));
        if (block.every((byte) => byte === 0)) continue;
        hash.update(BigUint64Array.of(at)).update(block);
      }
    }
    return { blocks: hash.digest("hex") };
  } finally {
    host.close(file);
  }
}

function latin(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}
