import { loadChecksum } from "#checksum";
import { concatBytes, toBytes } from "../bytes/bytes.ts";
import { CHECKSUM_TYPES } from "../checksum/checksum.ts";
import { randomUuid } from "../transaction/random-uuid.ts";
import type { NameTable } from "./name-table.ts";
import type { MakeOptions } from "./options.ts";

/** The uuids that a filesystem has. */
export interface Uuids {
  readonly uuid: Uint8Array;
  readonly deviceUuid: Uint8Array;
  readonly chunkTreeUuid: Uint8Array;
  readonly subvolumeUuid: Uint8Array;
}

interface NamedTree {
  readonly path: Uint8Array;
  readonly names: NameTable;
}

/** Those that are given; the others are random, or follow from what the filesystem is made of. */
export async function uuidsOf(options: MakeOptions, trees: readonly NamedTree[]): Promise<Uuids> {
  const make = options.reproducible === undefined ? () => randomUuid() : await uuidMaker(trees, options);
  return {
    uuid: options.uuid ?? make("filesystem"),
    deviceUuid: options.deviceUuid ?? make("device"),
    chunkTreeUuid: options.chunkTreeUuid ?? make("chunk tree"),
    subvolumeUuid: options.subvolumeUuid ?? make("subvolume 5"),
  };
}

/** Makes uuids of what the filesystem is made of: names, sizes and options. */
export async function uuidMaker(
  trees: readonly NamedTree[],
  options: MakeOptions,
): Promise<(what: string) => Uint8Array> {
  const sha256 = await loadChecksum(CHECKSUM_TYPES.findIndex(({ name }) => name === "sha256"));
  const digest = (data: Uint8Array): Uint8Array => {
    const target = new Uint8Array(sha256.byteLength);
    sha256.compute(data, target);
    return target;
  };
  const { label, nodeSize, checksum, compress, reproducible } = options;
  const facts = [nodeSize, checksum, compress?.algorithm, compress?.level, reproducible?.latest].join(" ");
  const parts = trees.flatMap(({ path, names }) => [path, ...names.fingerprintParts()].map(digest));
  const seed = digest(concatBytes([...parts, toBytes(facts), toBytes(label ?? "")]));
  return (what) => {
    const uuid = digest(concatBytes([seed, toBytes(what)])).slice(0, 16);
    // Version 8: its maker's own.
    uuid[6] = (uuid[6]! & 0x0f) | 0x80;
    uuid[8] = (uuid[8]! & 0x3f) | 0x80;
    return uuid;
  };
}
