import { type Key, keyOf } from "../../src/format/key.ts";
import * as types from "../../src/format/key-type.ts";
import { keyTypeName } from "../../src/format/key-type.ts";

/** One item as `btrfs inspect-internal dump-tree` prints it. */
export interface DumpedItem {
  readonly key: Key;
  readonly offset: number;
  readonly size: number;
  /** What is said about the data, in one line. */
  readonly text: string;
}

const OBJECTIDS: Readonly<Record<string, bigint>> = {
  ROOT_TREE: 1n,
  EXTENT_TREE: 2n,
  CHUNK_TREE: 3n,
  DEV_TREE: 4n,
  FS_TREE: 5n,
  ROOT_TREE_DIR: 6n,
  CSUM_TREE: 7n,
  QUOTA_TREE: 8n,
  UUID_TREE: 9n,
  FREE_SPACE_TREE: 10n,
  BLOCK_GROUP_TREE: 11n,
  DEV_ITEMS: 1n,
  DEV_STATS: 0n,
  FIRST_CHUNK_TREE: 256n,
  ORPHAN: -5n,
  DATA_RELOC_TREE: -9n,
  EXTENT_CSUM: -10n,
  FREE_SPACE: -11n,
};

const TYPES = new Map(Array.from({ length: 256 }, (_, type) => [keyTypeName(type), type]));
TYPES.set("UUID_KEY_SUBVOL", types.UUID_SUBVOL);
TYPES.set("UUID_KEY_RECEIVED_SUBVOL", types.UUID_RECEIVED_SUBVOL);

/** A number, a name, a quota group, or -1. */
function parseId(text: string): bigint {
  const [level, id] = text.split("/");
  if (id !== undefined) return (BigInt(level!) << 48n) + BigInt(id);
  return BigInt.asUintN(64, OBJECTIDS[text] ?? BigInt(text));
}

export function parseKey(text: string): Key {
  const [objectid, type, offset] = text.split(" ");
  return keyOf(parseId(objectid!), TYPES.get(type!)!, parseId(offset!));
}

/** Items of every leaf by its logical address, and addresses of all inner nodes. */
export function parseDump(dump: string): { leaves: Map<number, DumpedItem[]>; nodes: Set<number> } {
  const leaves = new Map<number, DumpedItem[]>();
  const nodes = new Set<number>();
  let items: DumpedItem[] = [];
  for (const line of dump.split("\n")) {
    const block = /^(leaf|node) (\d+) (?:level \d+ )?items /.exec(line);
    if (block?.[1] === "leaf") {
      // A leaf that snapshots share is printed in each of them, with the same items.
      items = [];
      leaves.set(Number(block[2]), items);
    }
    if (block?.[1] === "node") nodes.add(Number(block[2]));
    const item = /^\titem \d+ key \((.*)\) itemoff (\d+) itemsize (\d+)$/.exec(line);
    if (item) items.push({ key: parseKey(item[1]!), offset: Number(item[2]), size: Number(item[3]), text: "" });
    else if (line.startsWith("\t\t") && items.length > 0) {
      const last = items.at(-1)!;
      items[items.length - 1] = { ...last, text: `${last.text} ${line.trim()}`.trim() };
    }
  }
  return { leaves, nodes };
}
