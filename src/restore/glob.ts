import { BtrfsError } from "../errors.ts";
import type { Inode } from "../fs/inode.ts";
import { lookupPath } from "../fs/path.ts";

const SLASH = 0x2f;
const MAGIC = /[*?[]/;

/**
 * What a path leads to from `top`; with `*`, `?` and `[...]` in it, everything that matches, unless something is called
 * just so. As in a shell, a name that begins with a dot is matched by a pattern that begins with one.
 *
 * @throws {BtrfsError} `missing`, when there is nothing.
 */
export async function findMatches(top: Inode, path: Uint8Array): Promise<Inode[]> {
  const text = latin(path);
  try {
    return [await lookupPath(top, path)];
  } catch (error) {
    if (!(error instanceof BtrfsError) || error.code !== "missing" || !MAGIC.test(text)) throw error;
  }
  let found: Inode[] = [top];
  for (const part of text.split("/").filter((name) => name !== "" && name !== ".")) {
    const matches = matcher(part);
    const next: Inode[] = [];
    for (const inode of found) {
      if (inode.kind !== "directory") continue;
      for await (const entries of inode.readDirectory()) {
        for (const entry of entries) if (matches(latin(entry.name))) next.push(await inode.enter(entry));
      }
    }
    found = next;
  }
  if (found.length > 0) return found;
  throw new BtrfsError("missing", `Cannot find files: nothing matches ${text}`);
}

/** The last name of a path; `undefined` for the top, and for a path that ends with a slash: they stand for what is inside. */
export function lastName(path: Uint8Array): Uint8Array | undefined {
  const name = path.subarray(path.lastIndexOf(SLASH) + 1);
  return name.byteLength === 0 ? undefined : name;
}

function matcher(pattern: string): (name: string) => boolean {
  let source = "";
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at]!;
    const close = character === "[" ? pattern.indexOf("]", at + (/^\[[!^]/.test(pattern.slice(at)) ? 3 : 2)) : -1;
    if (character === "*") source += "[^]*";
    else if (character === "?") source += "[^]";
    else if (close > 0) {
      const inside = pattern.slice(at + 1, close).replace(/[\\\]]/g, "\\$&");
      source += `[${inside.startsWith("!") ? `^${inside.slice(1)}` : inside.replace(/^\^/, "^")}]`;
      at = close;
    } else source += character.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  }
  const expression = new RegExp(`^${source}$`);
  return (name) => expression.test(name) && (!name.startsWith(".") || pattern.startsWith("."));
}

/** One character a byte. */
function latin(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
