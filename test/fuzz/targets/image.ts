import { viewOf } from "../../../src/bytes/bytes.ts";
import { OverlayDevice } from "../../../src/device/overlay.ts";
import type { ByteSource } from "../../../src/device/source.ts";
import { encodedExtents } from "../../../src/encoded/extents.ts";
import { encodedReader } from "../../../src/encoded/read.ts";
import { BtrfsError } from "../../../src/errors.ts";
import { describeItem } from "../../../src/format/describe/item.ts";
import { ENCODED_NONE, MAX_ENCODED_BYTES } from "../../../src/format/encoded-io.ts";
import { HEADER_BYTES, ITEM_HEADER_BYTES, itemSize, itemStart, NodeBlock } from "../../../src/format/node.ts";
import { type Filesystem, openFilesystem } from "../../../src/fs/filesystem.ts";
import type { Inode } from "../../../src/fs/inode.ts";
import { walk } from "../../../src/fs/walk.ts";
import { scrub } from "../../../src/scrub/scrub.ts";
import { treeBlocks } from "../../../src/tree/blocks.ts";
import { NodeTree } from "../../../src/tree/tree.ts";
import { UsageCounter } from "../../../src/usage/usage.ts";
import { openVolume } from "../../../src/volume/open.ts";
import { listTrees } from "../../../src/volume/trees.ts";
import type { Volume } from "../../../src/volume/volume.ts";
import { rewriteSuperblock, seal } from "../../support/damage.ts";
import { MemoryTarget } from "../../support/memory-target.ts";
import { restoreAll } from "../../support/restoring.ts";
import { everyNode } from "../../support/volume-walk.ts";
import { imageFixtures, imageSource } from "../../support.ts";
import { Random } from "../mutate.ts";

// An input is a recipe: which image, how it is opened, and what is changed in it, a few bytes for each change. What is
// changed gets the checksum that it then needs, so that the parsers behind it are reached.

const MAX_NAMES = 20_000;
/** Of one file: a hole may be as long as it likes. */
const MAX_READ_BYTES = 1 << 18;
const HEAD_BYTES = 2;
const CHANGE_BYTES = 8;

interface Image {
  readonly devices: readonly ByteSource[];
  readonly volume: Volume;
  readonly nodes: readonly NodeBlock[];
}

const names = imageFixtures().map(({ name }) => name);
const images = new Map<string, Promise<Image>>();

async function open(name: string): Promise<Image> {
  const { devices: count } = imageFixtures().find((fixture) => fixture.name === name)!;
  const devices = Array.from({ length: count }, (_, index) => imageSource(name, index + 1));
  const volume = await openVolume(devices);
  const nodes: NodeBlock[] = [];
  for await (const { node } of everyNode(volume)) nodes.push(node);
  return { devices, volume, nodes };
}

function imageOf(name: string): Promise<Image> {
  const image = images.get(name) ?? open(name);
  images.set(name, image);
  return image;
}

/** Each image as it is, and with one to three changes. */
export function seeds(): Uint8Array[] {
  const random = new Random(3);
  return names.flatMap((_, index) =>
    [0, 1, 2, 3].map((changes) => {
      const recipe = new Uint8Array(HEAD_BYTES + changes * CHANGE_BYTES).map(() => random.below(256));
      recipe.set([index, 0]);
      return recipe;
    }),
  );
}

/** Whatever is changed, all that an image can be asked for ends in an answer or a `BtrfsError`. */
export async function fuzz(recipe: Uint8Array): Promise<void> {
  const image = await imageOf(names[(recipe[0] ?? 0) % names.length]!);
  const how = recipe[1] ?? 0;
  const stores = image.devices.map((device) => new OverlayDevice(device));
  const view = viewOf(recipe);
  for (let at = HEAD_BYTES; at + CHANGE_BYTES <= recipe.byteLength; at += CHANGE_BYTES) {
    await change(image, stores, new Change(view, at));
  }
  // Now and then without one of the devices.
  if ((how & 3) === 3 && stores.length > 1) stores.splice((how >> 2) % stores.length, 1);
  await harmless(() => readAll(stores, (how & 0x40) !== 0));
  await harmless(async () => void (await restoreAll(stores, new MemoryTarget({ withoutFileCalls: (how & 4) !== 0 }))));
  await harmless(() => scrubTwice(stores));
}

/** What one change of a recipe says. */
class Change {
  readonly kind: number;
  readonly node: number;
  readonly place: number;
  readonly value: number;
  readonly width: number;

  constructor(view: DataView, at: number) {
    this.kind = view.getUint8(at) % 8;
    this.node = view.getUint16(at + 1, true);
    this.place = view.getUint16(at + 3, true);
    this.value = view.getUint16(at + 5, true);
    this.width = 1 << (view.getUint8(at + 7) % 4);
  }
}

async function change({ volume, nodes }: Image, stores: readonly OverlayDevice[], what: Change): Promise<void> {
  if (what.kind === 7) {
    await rewriteSuperblock(stores[what.node % stores.length]!, (data) => setEdge(data, 0x20, 0xb2b, what));
    return;
  }
  const { logical } = nodes[what.node % nodes.length]!;
  const copies = volume.copiesOf(logical, volume.nodeSize).filter(({ kind }) => kind === "stored");
  const bytes = new Uint8Array(volume.nodeSize);
  await stores[copies[0]!.devid - 1]!.read(copies[0]!.physical, bytes);
  changeNode(bytes, nodes, what);
  // Sometimes one copy only, and sometimes the checksum gives it away.
  if (what.kind !== 6) await seal(bytes, volume.checksum.type);
  const written = what.kind === 6 ? copies.slice(0, 1) : copies;
  for (const { devid, physical } of written) await stores[devid - 1]!.write(physical, bytes);
}

function changeNode(bytes: Uint8Array, nodes: readonly NodeBlock[], what: Change): void {
  const node = new NodeBlock(bytes, {});
  const { place, value } = what;
  const slot = node.count === 0 ? 0 : place % Math.min(node.count, 650);
  const entry = HEADER_BYTES + slot * ITEM_HEADER_BYTES;
  if (what.kind === 0 || what.kind === 6) bytes[place % bytes.byteLength]! ^= 1 << (value % 8);
  else if (what.kind === 1) setEdge(bytes, 0x20, HEADER_BYTES, what);
  else if (what.kind === 2) setEdge(bytes, entry, entry + ITEM_HEADER_BYTES, what);
  else if (what.kind === 5) {
    // Another block in this one's place, under its address.
    const { bytes: other } = nodes[value % nodes.length]!;
    const address = bytes.slice(0x30, 0x38);
    if (other.byteLength === bytes.byteLength) bytes.set(other);
    bytes.set(address, 0x30);
  } else if (node.level === 0 && slot < node.count) {
    const start = itemStart(node, slot);
    const end = Math.min(start + itemSize(node, slot), bytes.byteLength);
    if (start < end) setEdge(bytes, start, end, what);
  } else setEdge(bytes, entry, entry + ITEM_HEADER_BYTES, what);
}

const EDGES = [0n, 1n, 2n, 0x2fn, 0x7fn, 0xffn, 0x1000n, 0xffffn, 1n << 31n, 1n << 53n, 1n << 63n, ~0n];

/** Puts a number at the edge of what parsers expect, or one near what is there, somewhere from `from` to `to`. */
function setEdge(bytes: Uint8Array, from: number, to: number, { value, width }: Change): void {
  const at = from + ((value >> 4) % Math.max(1, to - from));
  const end = Math.min(at + width, to, bytes.byteLength);
  const edge = EDGES[value % 16];
  if (edge === undefined) bytes[at] = (bytes[at]! + (value % 16) - 13) & 0xff;
  else for (let byte = at; byte < end; byte++) bytes[byte] = Number((edge >> BigInt(8 * (byte - at))) & 0xffn);
}

async function harmless(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    note(error);
  }
}

function note(error: unknown): undefined {
  if (!(error instanceof BtrfsError)) throw error;
}

async function readAll(stores: readonly ByteSource[], oldRoot: boolean): Promise<void> {
  const options = { degraded: true, ...(oldRoot ? { backupRoot: 1 } : {}) };
  const filesystem = await openFilesystem(stores, options);
  await takeApart(filesystem.volume);
  await harmless(async () => void (await filesystem.subvolumes()));
  await harmless(async () => void (await filesystem.defaultSubvolume()));
  const top = await filesystem.top();
  await lookAtAll(top);
  const counter = new UsageCounter({ onDamage: note, rows: new Set(["file", "directory"]), onRow: () => {} });
  await counter.add(top);
  counter.usage;
  await lookUp(filesystem);
}

async function takeApart(volume: Volume): Promise<void> {
  const sizes = { sectorSize: volume.sectorSize, checksumSize: volume.checksum.byteLength };
  for await (const listed of listTrees(volume)) {
    if ("fault" in listed) continue;
    await harmless(async () => {
      for await (const found of treeBlocks(await NodeTree.open(volume, listed), { first: listed.first })) {
        if ("fault" in found || found.node.level > 0) continue;
        for (let slot = 0; slot < found.node.count; slot++) {
          await harmless(async () => void describeItem(found.node, slot, sizes));
        }
      }
    });
  }
}

async function lookAtAll(top: Inode): Promise<void> {
  let count = 0;
  for await (const { directory, entries } of walk(top, { onDamage: note })) {
    count += entries.length;
    if (count > MAX_NAMES) throw new Error("more names than the image has");
    for (const entry of entries) {
      const inode = await directory.enter(entry).catch(note);
      if (inode !== undefined) await lookAt(inode);
    }
  }
}

async function lookAt(inode: Inode): Promise<void> {
  await inode.xattrs().catch(note);
  await inode.names().catch(note);
  if (inode.kind === "symlink") await inode.readSymlink().catch(note);
  if (inode.kind !== "file") return;
  await harmless(async () => {
    const file = inode.openFile();
    const content = new Uint8Array(MAX_READ_BYTES);
    const lost: (readonly [number, number])[] = [];
    const read = await file.read(0n, content, {
      onUnreadable: (at, length) => void lost.push([Number(at), Number(at) + length]),
    });
    await sameEncoded(inode, content.subarray(0, read), lost);
  });
}

/** Encoded reads in the old and the new way agree with each other, and where nothing is compressed with the content. */
async function sameEncoded(
  inode: Inode,
  content: Uint8Array,
  lost: readonly (readonly [number, number])[],
): Promise<void> {
  const file = inode.openFile();
  const reader = encodedReader(file);
  const target = new Uint8Array(MAX_ENCODED_BYTES);
  for await (const extent of encodedExtents(file, { onUnreadable: () => {} })) {
    const { offset, length, compression, data } = extent;
    if (offset >= BigInt(content.byteLength)) return;
    if (data === undefined) continue;
    const answer = await reader.readEncoded(offset, target);
    const bytes = target.subarray(0, Math.min(answer.byteLength, data.byteLength));
    if (answer.compression !== compression || Buffer.compare(bytes, data.subarray(0, bytes.byteLength)) !== 0) {
      throw new Error(`encoded reads differ at ${offset} of inode ${inode.number}`);
    }
    if (compression !== ENCODED_NONE) {
      if (answer.length !== length || answer.unencodedOffset !== extent.unencodedOffset) {
        throw new Error(`encoded nouns differ at ${offset} of inode ${inode.number}`);
      }
      continue;
    }
    const start = Number(offset);
    const plain = content.subarray(start, Math.min(start + data.byteLength, content.byteLength));
    const isLost = lost.some(([from, to]) => from < start + data.byteLength && start < to);
    if (!isLost && Buffer.compare(plain, data.subarray(0, plain.byteLength)) !== 0) {
      throw new Error(`content differs at ${offset} of inode ${inode.number}`);
    }
  }
}

async function lookUp(filesystem: Filesystem): Promise<void> {
  for (const path of ["vol/moves", "a/b/c", "../..", "link", "snapshot"]) await filesystem.lookup(path).catch(note);
}

/** What is repaired stays so, and a scrub that only looks finds no more than one that repairs leaves. */
async function scrubTwice(stores: readonly OverlayDevice[]): Promise<void> {
  const first = await scrub(await openVolume(stores, { degraded: true }), { repair: true });
  const again = await scrub(await openVolume(stores, { degraded: true }));
  if (again.repairable > 0 && first.unrepairable === 0) {
    throw new Error(`a repair left ${again.repairable} places that can be repaired`);
  }
}
