import { compareBytes, concatBytes, equalBytes, toBytes } from "../bytes/bytes.ts";
import { displayName } from "../bytes/display.ts";
import type { Checksum } from "../checksum/checksum.ts";
import { BtrfsError } from "../errors.ts";
import { COMPRESS_NONE } from "../format/file-extent.ts";
import { FIRST_FREE_OBJECTID, FS_TREE_OBJECTID } from "../format/objectid.ts";
import { randomUuid } from "../transaction/random-uuid.ts";
import type { Blocks } from "./blocks.ts";
import type { ChecksumWriter } from "./checksum-writer.ts";
import type { ContentRunner } from "./content.ts";
import { type ContentHow, makeContentReader } from "./content-how.ts";
import { DataWriter } from "./data-writer.ts";
import { estimateContent } from "./estimate.ts";
import type { ExtentTable } from "./extent-table.ts";
import type { ImageWriter } from "./image-writer.ts";
import type { SingleDeviceProfile } from "./layout.ts";
import { type NameTable, walkNames } from "./name-table.ts";
import type { MakeOptions, NewSubvolume } from "./options.ts";
import type { Recipe } from "./recipe.ts";
import type { MadeSubvolume } from "./root-items.ts";
import type { TreeSource } from "./source.ts";
import type { Space } from "./space.ts";
import { writeSubvolume } from "./subvolume-writer.ts";
import { type TreeRoot, TreeWriter } from "./tree-writer.ts";
import { findTwins } from "./twins.ts";
import { uuidMaker } from "./uuids.ts";

const SECTOR_SIZE = 4096;
const FIRST_INDEX = 2;
const TOP = new Uint8Array(0);

/** Where contents go. */
export interface Destination {
  readonly recipe: Recipe;
  readonly space: Space;
  readonly writer: ImageWriter;
  readonly blocks: Blocks;
  readonly extents: ExtentTable;
  readonly checksums: ChecksumWriter;
  readonly profile: SingleDeviceProfile;
  readonly roots: Map<bigint, TreeRoot>;
}

interface Tree {
  readonly id: bigint;
  readonly path: Uint8Array;
  readonly options: NewSubvolume | undefined;
  readonly names: NameTable;
}

/** What a new filesystem is filled with. */
export class Filling {
  readonly #source: TreeSource;
  readonly #options: MakeOptions;
  readonly #checksum: Checksum;
  readonly #trees: readonly Tree[];
  readonly compressions = new Set<number>();
  readonly subvolumes: readonly MadeSubvolume[];
  readonly counts = { inodes: 0, dataBytes: 0 };

  private constructor(
    source: TreeSource,
    options: MakeOptions,
    checksum: Checksum,
    trees: readonly Tree[],
    subvolumes: readonly MadeSubvolume[],
  ) {
    this.#source = source;
    this.#options = options;
    this.#checksum = checksum;
    this.#trees = trees;
    this.subvolumes = subvolumes;
  }

  /** Looks at all names. @throws {BtrfsError} `missing` for a subvolume that is no directory there. */
  static async prepare(source: TreeSource, options: MakeOptions, checksum: Checksum): Promise<Filling> {
    const wanted = subvolumesOf(options.subvolumes ?? []);
    const trees: Tree[] = [];
    for (const { id, path, options: own } of [{ id: FS_TREE_OBJECTID, path: TOP, options: undefined }, ...wanted]) {
      const others = wanted.filter((other) => other.id !== id).map((other) => ({ ...other, id: Number(other.id) }));
      trees.push({ id, path, options: own, names: await walkNames(source, path, others, options.signal) });
    }
    return new Filling(source, options, checksum, trees, await placesOf(trees, options));
  }

  get uuids(): (readonly [Uint8Array, bigint])[] {
    return this.subvolumes.map(({ uuid, id }) => [uuid, id] as const);
  }

  estimate(nodeSize: number): { metadata: number; data: number } {
    const { compress } = this.#options;
    const sizes = { nodeSize, sectorSize: SECTOR_SIZE, checksumSize: this.#checksum.byteLength };
    return estimateContent(
      this.#trees.map(({ names }) => names),
      { ...sizes, isCompressed: compress !== undefined },
    );
  }

  /** Paths and names of all subvolumes, the top-level one first. */
  get trees(): readonly Tree[] {
    return this.#trees;
  }

  async write(to: Destination): Promise<void> {
    const { recipe, space, writer, blocks, extents, checksums, profile, roots } = to;
    const { reproducible, reflink, signal, onProgress, onWarning } = this.#options;
    const tables = this.#trees.map(({ names }) => names);
    const runner = await this.#runner();
    const sizes = { sectorSize: recipe.sectorSize, checksumSize: this.#checksum.byteLength };
    const data = new DataWriter(space, writer, profile, checksums, sizes, this.estimate(recipe.nodeSize).data);
    const totalInodes = this.#trees.reduce((sum, { names }) => sum + names.count, 0);
    const latest = reproducible?.latest === undefined ? undefined : { sec: reproducible.latest, nsec: 0 };
    const making = {
      recipe,
      source: this.#source,
      runner,
      data,
      extents,
      used: this.compressions,
      twins: reflink === true ? await findTwins(this.#source, tables, SECTOR_SIZE, signal) : new Map(),
      fixedTimes: reproducible === undefined ? undefined : { latest },
      settle: async () => {
        signal?.throwIfAborted();
        await writer.settle();
      },
      onEntry: () => {
        if ((++this.counts.inodes & 0x3ff) === 0) onProgress?.({ inodes: this.counts.inodes, totalInodes });
      },
      onWarning,
    };
    for (const [position, { id, names }] of this.#trees.entries()) {
      const tree = new TreeWriter(recipe, id, blocks.target(id));
      await writeSubvolume(making, { id, position, names }, tree);
      roots.set(id, tree.finish());
    }
    this.compressions.delete(COMPRESS_NONE);
    this.counts.dataBytes = data.stored;
  }

  async #runner(): Promise<ContentRunner> {
    const { compress, reproducible, makeRunner } = this.#options;
    const how: ContentHow = {
      sectorSize: SECTOR_SIZE,
      checksumType: this.#checksum.type,
      compress,
      isPortable: reproducible !== undefined,
    };
    return makeRunner === undefined ? makeContentReader(this.#source, how) : makeRunner(how);
  }
}

/** In the order of their paths, which gives them their ids. */
function subvolumesOf(subvolumes: readonly NewSubvolume[]): { id: bigint; path: Uint8Array; options: NewSubvolume }[] {
  if (subvolumes.filter(({ isDefault }) => isDefault).length > 1) {
    throw new TypeError("Cannot make filesystem: more than one subvolume is to be the default");
  }
  const sorted = subvolumes
    .map((options) => ({ options, path: plainPath(toBytes(options.path)) }))
    .sort((a, b) => compareBytes(a.path, b.path));
  return sorted.map(({ options, path }, index) => {
    if (path.byteLength === 0) throw new TypeError("Cannot make subvolume: the top is one already");
    if (index > 0 && equalBytes(path, sorted[index - 1]!.path)) {
      throw new TypeError(`Cannot make subvolume: ${displayName(path)} is named twice`);
    }
    return { id: FIRST_FREE_OBJECTID + BigInt(index), path, options };
  });
}

/** Without `/` at either end, and without empty components and `.`. */
function plainPath(path: Uint8Array): Uint8Array {
  const components: Uint8Array[] = [];
  for (let start = 0; start <= path.byteLength; ) {
    const slash = path.indexOf(0x2f, start);
    const end = slash < 0 ? path.byteLength : slash;
    const component = path.subarray(start, end);
    const isDots = component.byteLength <= 2 && component.every((byte) => byte === 0x2e);
    if (isDots && component.byteLength === 2) throw new TypeError("Cannot make subvolume: its path has '..' in it");
    if (!isDots) components.push(component);
    start = end + 1;
  }
  const slash = Uint8Array.of(0x2f);
  return concatBytes(components.flatMap((component, index) => (index === 0 ? [component] : [slash, component])));
}

/** Under which name each subvolume lies. @throws {BtrfsError} `missing`. */
async function placesOf(trees: readonly Tree[], options: MakeOptions): Promise<MadeSubvolume[]> {
  const uuidOf = options.reproducible === undefined ? () => randomUuid() : await uuidMaker(trees, options);
  return trees.slice(1).map(({ id, path, options: own }) => {
    for (const { id: parent, names } of trees) {
      for (const entry of names.subvolumeEntries) {
        if (BigInt(names.number(entry)) !== id) continue;
        return {
          id,
          uuid: uuidOf(`subvolume ${id}`),
          readOnly: own?.readOnly === true,
          isDefault: own?.isDefault === true,
          parent,
          directory: names.number(names.parent(entry)),
          index: FIRST_INDEX + names.position(entry),
          name: names.name(entry),
        };
      }
    }
    throw new BtrfsError("missing", "Cannot make subvolume: there is no such directory", {
      where: { path: displayName(path) },
    });
  });
}
