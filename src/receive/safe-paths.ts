import { StreamError } from "../errors.ts";
import { ATTRIBUTES, type AttributeField } from "../stream/attributes.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { attributesOf, COMMANDS, type CommandName } from "../stream/commands.ts";
import { pathFault } from "../stream/path.ts";

/** Commands that may be about the subvolume itself, whose path is empty. */
const MAY_BE_ROOT: ReadonlySet<CommandName> = new Set([
  "setXattr",
  "removeXattr",
  "chmod",
  "chown",
  "utimes",
  "fileattr",
]);

const PATHS: ReadonlySet<AttributeField> = new Set(["path", "pathTo", "pathLink", "clonePath"]);

/** By command number: the attributes that are paths. The target of a symbolic link is none: it is kept, not followed. */
const PATHS_OF: (readonly number[])[] = [];
const ROOT_ALLOWED: boolean[] = [];
for (const name of Object.keys(COMMANDS) as CommandName[]) {
  const { number } = COMMANDS[name];
  PATHS_OF[number] = attributesOf(name)
    .filter(({ field }) => PATHS.has(field) && !(name === "symlink" && field === "pathLink"))
    .map(({ field }) => ATTRIBUTES[field].number);
  ROOT_ALLOWED[number] = MAY_BE_ROOT.has(name);
}

/** What makes a path of command `i` unfit for use; `undefined` where all are safe. */
export function findUnsafePath(batch: CommandBatch, i: number): StreamError | undefined {
  const type = batch.type(i);
  for (const attribute of PATHS_OF[type] ?? []) {
    const slot = batch.find(i, attribute);
    const start = batch.valueAt(slot);
    const end = start + batch.valueLength(slot);
    const isEmpty = start === end && !ROOT_ALLOWED[type];
    const fault = isEmpty
      ? "it is the subvolume itself, a name in it was expected"
      : pathFault(batch.bytes, start, end);
    if (fault !== undefined) return new StreamError("path", `Cannot use path: ${fault}`);
  }
  return undefined;
}
