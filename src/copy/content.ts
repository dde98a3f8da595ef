import { dropExtents } from "../edit/extents.ts";
import * as edit from "../edit/index.ts";
import { addXattrsNow, handedDown } from "../edit/inherit.ts";
import { insertInode, readInode, removeInodeItems } from "../edit/inode.ts";
import type { Place } from "../edit/place.ts";
import { inodePropertyNow } from "../edit/property.ts";
import { INODE_NODATASUM, S_IFREG } from "../format/inode.ts";
import type { Batches } from "./batches.ts";
import type { CopyOptions } from "./options.ts";
import { SourceError, type SourceNode, type Stretch } from "./source.ts";

/** Files of at most so many bytes are read before anything is changed; longer ones in stretches of as many. */
const STRETCH_BYTES = 4 << 20;

/** The file to write to; without an inode there is none yet. */
export interface ContentTarget {
  readonly tree: bigint;
  readonly inode: bigint | undefined;
}

type Create = (at: Place) => Promise<bigint>;

/**
 * Gives a file the content of a source, in one transaction: there is no commit in between. When the source fails, what was
 * there has its old content, and what was not is not.
 *
 * @param create Makes the file. `remove` takes it away again.
 * @returns Its inode.
 * @throws {SourceError}
 */
export async function copyContent(
  batches: Batches,
  source: SourceNode,
  target: ContentTarget,
  options: CopyOptions,
  create: Create,
  remove: (at: Place) => Promise<void>,
): Promise<bigint> {
  const at = await batches.place(target.tree);
  if (source.inImage !== undefined && options.reflink !== "never") {
    const shared = await share(at, source, target.inode, options, create, remove);
    if (shared !== undefined) return shared;
  } else if (options.reflink === "always") {
    throw new SourceError("kind", "it lies outside of the image: its extents can't be shared");
  }
  return source.stat.size <= BigInt(STRETCH_BYTES)
    ? copySmall(at, source, target.inode, options, create)
    : copyLarge(at, source, target.inode, options, create, remove);
}

/** Shares the extents of a file of the same filesystem. @returns `undefined` where that can't be. */
async function share(
  at: Place,
  source: SourceNode,
  existing: bigint | undefined,
  { reflink }: CopyOptions,
  create: Create,
  remove: (at: Place) => Promise<void>,
): Promise<bigint | undefined> {
  const { tree, inode: from } = source.inImage!;
  const origin = await readInode({ ...at, tree }, from);
  const inode = existing ?? (await create(at));
  const item = await readInode(at, inode);
  // Only one of them has checksums: nothing can be shared.
  if (((item.flags ^ origin.flags) & BigInt(INODE_NODATASUM)) !== 0n) {
    if (existing === undefined) await remove(at);
    if (reflink === "auto") return undefined;
    throw new SourceError("kind", "only one of the files has checksums: their extents can't be shared");
  }
  if (item.size > 0n) await edit.truncateFile(at, inode, 0n);
  if (origin.size > 0n) await edit.cloneRange(at, inode, 0n, { tree, inode: from, offset: 0n }, origin.size);
  return inode;
}

async function copySmall(
  at: Place,
  source: SourceNode,
  existing: bigint | undefined,
  options: CopyOptions,
  create: Create,
): Promise<bigint> {
  const stretches: Stretch[] = [];
  for await (const { at: offset, data } of source.content(STRETCH_BYTES))
    stretches.push({ at: offset, data: data.slice() });
  const inode = existing ?? (await create(at));
  if (existing !== undefined) await edit.truncateFile(at, inode, 0n);
  for (const { at: offset, data } of stretches) await edit.writeFile(at, inode, offset, data, options);
  await edit.truncateFile(at, inode, endOf(stretches.at(-1), source));
  return inode;
}

async function copyLarge(
  at: Place,
  source: SourceNode,
  existing: bigint | undefined,
  options: CopyOptions,
  create: Create,
  remove: (at: Place) => Promise<void>,
): Promise<bigint> {
  const inode = existing === undefined ? await create(at) : await makeNameless(at, existing);
  try {
    let last: Stretch | undefined;
    for await (const stretch of source.content(STRETCH_BYTES)) {
      await edit.writeFile(at, inode, stretch.at, stretch.data, options);
      last = stretch;
    }
    await edit.truncateFile(at, inode, endOf(last, source));
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    if (existing === undefined) await remove(at);
    else await removeNameless(at, inode);
    throw error;
  }
  if (existing === undefined) return inode;
  // Its names, and who it belongs to, stay: it gets the extents of the new one.
  await edit.truncateFile(at, existing, 0n);
  const { size } = await readInode(at, inode);
  await edit.cloneRange(at, existing, 0n, { tree: at.tree, inode, offset: 0n }, size);
  await removeNameless(at, inode);
  return existing;
}

/** A file that has no name, and is gone before the commit: it has its content like another one. */
async function makeNameless(at: Place, like: bigint): Promise<bigint> {
  const { flags } = await readInode(at, like);
  const inode = await insertInode(at, S_IFREG, { flags });
  await at.tx.now(() => addXattrsNow(at, Number(inode), handedDown(inodePropertyNow(at, Number(like)))));
  return inode;
}

async function removeNameless(at: Place, inode: bigint): Promise<void> {
  await dropExtents(at, inode, 0n, 1n << 63n);
  await removeInodeItems(at, inode);
}

/** Where the file ends, which may have grown or shrunk since it was looked at. */
function endOf(last: Stretch | undefined, { stat }: SourceNode): bigint {
  const end = last === undefined ? 0n : last.at + BigInt(last.data.byteLength);
  return end > stat.size ? end : stat.size;
}
