import { constants } from "node:fs";
import { type Codecs, loadCodecs } from "#codec";
import { BtrfsError, CorruptError, UnsupportedError } from "../errors.ts";
import { keyOf } from "../format/key.ts";
import { EXTENT_DATA, EXTENT_ITEM } from "../format/key-type.ts";
import { EXTENT_TREE_OBJECTID, FS_TREE_OBJECTID } from "../format/objectid.ts";
import type { ExtentRefs, Offer } from "../send/back-refs.ts";
import { type ChunkFiller, type Piece, STORED } from "../send/chunk.ts";
import { MAX_REFS, readExtent } from "../send/extent-refs.ts";
import { type FileItem, matchingOffset, readFileItem } from "../send/file-item.ts";
import { DataFiller } from "../send/fill.ts";
import { pathIn } from "../send/path-bytes.ts";
import { Snapshot } from "../send/snapshot.ts";
import type { DataSource, SendSource } from "../send/source.ts";
import { whenRead } from "../send/unread.ts";
import { fstatfs } from "./attributes.ts";
import { encodedRead } from "./encoded.ts";
import { pread } from "./file.ts";
import { getFilesystemInfo, syncFilesystem } from "./filesystem.ts";
import { LiveTree } from "./live-tree.ts";
import { extentUsers } from "./lookup.ts";
import type { Native } from "./native.ts";
import { close, openBeneath } from "./open.ts";
import { getSubvolumeInfo, type SubvolumeInfo } from "./subvolume.ts";

/** Files that stay open, for pieces that follow each other. */
const MAX_OPEN = 16;

interface Opened {
  readonly fd: number;
  readonly info: SubvolumeInfo;
}

/**
 * Read-only snapshots of a mounted btrfs, to send: trees by searches, data by encoded reads and plain ones. Needs root.
 *
 * Block addresses can't be seen: of places to clone from that are equally good, it may choose another one than the kernel.
 */
export class LiveSendSource implements SendSource {
  readonly sectorSize: number;
  readonly nodeSize: number;
  readonly #native: Native;
  readonly #fd: number;
  readonly #opened = new Map<bigint, Opened>();
  readonly #files: LiveFiles[] = [];

  private constructor(native: Native, fd: number) {
    this.#native = native;
    this.#fd = fd;
    this.sectorSize = Number(fstatfs(native, fd).bsize);
    this.nodeSize = getFilesystemInfo(native, fd).nodeSize;
  }

  /**
   * Writes out all that is under way, as the kernel's send does.
   *
   * @param subvolumes Top directories of all that is to be sent, or to be sent against; they stay the caller's to close.
   */
  static async open(native: Native, subvolumes: readonly number[]): Promise<LiveSendSource> {
    const first = subvolumes[0];
    if (first === undefined) throw new RangeError("Cannot send: no subvolume is given");
    await syncFilesystem(native, first);
    const source = new LiveSendSource(native, first);
    for (const fd of subvolumes) {
      const info = getSubvolumeInfo(native, fd);
      source.#opened.set(info.id, { fd, info });
    }
    return source;
  }

  async openSnapshot(id: bigint): Promise<Snapshot> {
    const opened = this.#opened.get(id);
    const where = { tree: id };
    if (opened === undefined) {
      throw new BtrfsError("missing", "Cannot send subvolume: it is not open", { where });
    }
    const { name, uuid, receivedUuid, ctransid, readOnly } = opened.info;
    if (!readOnly) throw new BtrfsError("permission", "Cannot send subvolume: it is not read-only", { where });
    if (id === FS_TREE_OBJECTID) {
      throw new UnsupportedError("Cannot send the top-level subvolume: it has no name", where);
    }
    const tree = new LiveTree(this.#native, opened.fd, id);
    return new Snapshot({ id, tree, name, uuid, receivedUuid, ctransid, isReadOnly: true });
  }

  filler(snapshot: Snapshot): ChunkFiller {
    const { fd } = this.#opened.get(snapshot.id)!;
    const files = new LiveFiles(this.#native, fd, snapshot, this.sectorSize);
    this.#files.push(files);
    return new DataFiller(files);
  }

  references(roots: readonly Snapshot[]): ExtentRefs {
    return new LiveRefs(this.#native, this.#fd, roots, this.sectorSize);
  }

  /** The kernel knows where data is. */
  isData(): boolean {
    return true;
  }

  /** @throws {BtrfsError} `busy`, when a subvolume is not what it was: what was read may be a mix. */
  async finish(): Promise<void> {
    for (const files of this.#files.splice(0)) files.close();
    for (const { fd, info } of this.#opened.values()) {
      const now = getSubvolumeInfo(this.#native, fd);
      if (now.readOnly && now.ctransid === info.ctransid && now.id === info.id) continue;
      const sentence = "Cannot trust stream: the subvolume was made writable while it was sent";
      throw new BtrfsError("busy", sentence, { where: { tree: info.id } });
    }
  }
}

/** Data of a snapshot's files. */
class LiveFiles implements DataSource {
  readonly sectorSize: number;
  readonly #native: Native;
  readonly #directory: number;
  readonly #snapshot: Snapshot;
  readonly #open = new Map<number, number>();
  #codecs: Promise<Codecs> | undefined;

  constructor(native: Native, directory: number, snapshot: Snapshot, sectorSize: number) {
    this.#native = native;
    this.#directory = directory;
    this.#snapshot = snapshot;
    this.sectorSize = sectorSize;
  }

  codecs(): Promise<Codecs> {
    this.#codecs ??= loadCodecs();
    return this.#codecs;
  }

  /** The whole extent by an encoded read, which verifies it; `from` is 0 then. */
  async readStored(piece: Piece, from: number, target: Uint8Array): Promise<void> {
    if (piece.kind !== STORED || from !== 0) throw new RangeError("Cannot read a part of a stored extent");
    const fd = await this.#file(piece.inode);
    const answer = encodedRead(this.#native, fd, BigInt(piece.fileOffset), target);
    const isIt =
      answer.byteLength === target.byteLength &&
      answer.compression !== 0 &&
      answer.unencodedLength === BigInt(piece.ramBytes);
    if (!isIt) throw this.#changed(piece, `the kernel gives ${answer.byteLength} stored bytes of it`);
  }

  /** Decoded bytes of the file, by way of the page cache. */
  async readPlain(piece: Piece, target: Uint8Array): Promise<void> {
    const fd = await this.#file(piece.inode);
    for (let at = 0; at < target.byteLength; ) {
      const count = pread(this.#native, fd, target.subarray(at), piece.fileOffset + at);
      if (count === 0) throw this.#changed(piece, `the file ends after ${piece.fileOffset + at} bytes`);
      at += count;
    }
  }

  async #file(inode: number): Promise<number> {
    const open = this.#open.get(inode);
    if (open !== undefined) return open;
    if (this.#open.size >= MAX_OPEN) {
      const [oldest, fd] = this.#open.entries().next().value!;
      this.#open.delete(oldest);
      close(this.#native, fd);
    }
    const path = await whenRead(() => pathIn(this.#snapshot, inode));
    const fd = openBeneath(this.#native, this.#directory, path, constants.O_RDONLY | constants.O_NOFOLLOW);
    this.#open.set(inode, fd);
    return fd;
  }

  #changed({ inode, fileOffset, diskNumBytes }: Piece, what: string): CorruptError {
    const where = { inode: BigInt(inode), fileOffset: BigInt(fileOffset) };
    return new CorruptError(`Cannot read extent: ${what}, its item says ${diskNumBytes}`, where);
  }

  close(): void {
    for (const fd of this.#open.values()) close(this.#native, fd);
    this.#open.clear();
  }
}

/** Who uses an extent, as the kernel tells: roughly in the order in which its own send looks at them. */
class LiveRefs implements ExtentRefs {
  readonly #native: Native;
  readonly #fd: number;
  readonly #roots: ReadonlyMap<bigint, Snapshot>;
  readonly #sectorSize: number;
  readonly #extents: LiveTree;

  constructor(native: Native, fd: number, roots: readonly Snapshot[], sectorSize: number) {
    this.#native = native;
    this.#fd = fd;
    this.#roots = new Map(roots.map((root) => [root.id, root]));
    this.#sectorSize = sectorSize;
    this.#extents = new LiveTree(native, fd, EXTENT_TREE_OBJECTID);
  }

  async walk(item: FileItem, _ino: number, offer: Offer): Promise<void> {
    const extent = await readExtent(this.#extents, item.diskBytenr, EXTENT_ITEM);
    const refs = extent?.refs ?? 0;
    if (refs > MAX_REFS || (refs === 1 && this.#roots.size === 1)) return;
    for (const { inode, offset, root } of extentUsers(this.#native, this.#fd, BigInt(item.diskBytenr), true)) {
      const snapshot = this.#roots.get(root);
      if (snapshot === undefined) continue;
      const found = await snapshot.tree.find(keyOf(inode, EXTENT_DATA, offset), "exact");
      if (found === undefined) continue;
      const other = readFileItem(found.leaf, found.first, this.#sectorSize);
      if (other.diskBytenr !== item.diskBytenr) continue;
      const at = matchingOffset(other, item.compression === 0 ? item.offset : 0);
      if (at !== undefined && offer(root, Number(inode), at, other.end - other.start)) return;
    }
  }
}
