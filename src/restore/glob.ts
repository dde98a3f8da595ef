import { BtrfsError } from "../errors.ts";
import type { DirectoryEntry } from "../fs/directory.ts";
import type { Inode } from "../fs/inode.ts";
import { joinPath, lookupPath } from "../fs/path.ts";

const SLASH = 0x2f;
const MAGIC = /[*?[]/;

/** Takes what can't be read on the way to matches, and the path in the image that it is about. */
export type OnLostMatch = (path: Uint8Array, error: BtrfsError) => void;

const TOP = new Uint8Array(0);

/**
 * What a path leads to from `top`; with `*`, `?` and `[...]` in it, everything that matches, unless something is called
 * just so. As in a shell, a name that begins with a dot is matched by a pattern that begins with one.
 *
 * @throws {BtrfsError} `missing`, when there is nothing; what can't be read of a directory that is searched, or of what
 * matches, unless `onLost` takes it.
 */
export async function findMatches(top: Inode, path: Uint8Array, onLost?: OnLostMatch): Promise<Inode[]> {
  const text = latin(path);
  try {
    return [await lookupPath(top, path)];
  } catch (error) {
    if (!(error instanceof BtrfsError) || error.code !== "missing" || !MAGIC.test(text)) throw error;
  }
  let isLost = false;
  const lose: OnLostMatch = (at, error) => {
    if (onLost === undefined) throw error;
    isLost = true;
    onLost(at, error);
  };
  let found: Inode[] = [top];
  for (const part of text.split("/").filter((name) => name !== "" && name !== ".")) {
    const matches = matcher(part);
    const next: Inode[] = [];
    for (const inode of found) {
      if (inode.kind !== "directory") continue;
      const onDamage = (error: BtrfsError): void => lose(inode.path ?? TOP, error);
      for await (const entries of inode.readDirectory({ onDamage })) {
        for (const entry of entries) {
          const child = matches(latin(entry.name)) ? await enter(inode, entry, lose) : undefined;
          if (child !== undefined) next.push(child);
        }
      }
    }
    found = next;
  }
  if (found.length > 0 || isLost) return found;
  throw new BtrfsError("missing", `Cannot find files: nothing matches ${text}`);
}

async function enter(directory: Inode, entry: DirectoryEntry, lose: OnLostMatch): Promise<Inode | undefined> {
  try {
    return await directory.enter(entry);
  } catch (error) {
    if (!(error instanceof BtrfsError)) throw error;
    lose(joinPath(directory.path ?? TOP, entry.name), error);
    return undefined;
  }
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
  const expression = expressionOf(`^${source}$`);
  return (name) => expression?.test(name) === true && (!name.startsWith(".") || pattern.startsWith("."));
}

/** `undefined` for ranges like `[z-a]`, which match nothing. */
function expressionOf(source: string): RegExp | undefined {
  try {
    return new RegExp(source);
  } catch {
    return undefined;
  }
}

/** One character a byte. */
function latin(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
