import { join } from "node:path";
import { parseTree, type TreeEntry } from "../../support.ts";
import { run } from "./run.ts";

export interface TreeOptions {
  /** The stretches of each file that are no holes. */
  readonly holes?: boolean;
  /** Inode numbers, atime and ctime. */
  readonly inodes?: boolean;
}

/** Every name in a directory, with all that the kernel says of it. */
export async function treeOf(directory: string, options: TreeOptions = {}): Promise<TreeEntry[]> {
  const flags = [...(options.holes ? ["--holes"] : []), ...(options.inodes ? ["--inodes"] : [])];
  const ran = await run("python3", [join(import.meta.dirname, "tree_of.py"), ...flags, directory]);
  return parseTree(ran.stdout.toString("latin1"));
}

/**
 * Where two trees differ, in words, `limit` of them at most: nothing when they are equal.
 *
 * @param ignore Fields left aside.
 */
export function treeDifferences(
  actual: readonly TreeEntry[],
  expected: readonly TreeEntry[],
  ignore: readonly (keyof TreeEntry)[] = [],
  limit = 20,
): string[] {
  const left = new Map(actual.map((entry) => [entry.path, entry]));
  const right = new Map(expected.map((entry) => [entry.path, entry]));
  const differences: string[] = [];
  for (const path of new Set([...left.keys(), ...right.keys()])) {
    const [a, b] = [left.get(path), right.get(path)];
    if (a === undefined || b === undefined) {
      differences.push(`${JSON.stringify(path)} is ${a === undefined ? "missing" : "too much"}`);
      continue;
    }
    for (const field of new Set([...Object.keys(a), ...Object.keys(b)]) as Set<keyof TreeEntry>) {
      const [is, wanted] = [JSON.stringify(a[field]), JSON.stringify(b[field])];
      if (is !== wanted && !ignore.includes(field)) {
        differences.push(`${JSON.stringify(path)}: ${field} is ${short(is)}, expected ${short(wanted)}`);
      }
    }
  }
  return differences.slice(0, limit);
}

function short(text: string | undefined): string {
  if (text === undefined) return "missing";
  return text.length > 200 ? `${text.slice(0, 200)}… (${text.length} characters)` : text;
}
