import { ATTRIBUTES } from "../stream/attributes.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { COMMANDS } from "../stream/commands.ts";

const PATH: number = ATTRIBUTES.path.number;

/** Whether a command of this number makes a file, directory, node or link. */
function isCreation(type: number): boolean {
  return type >= COMMANDS.mkfile.number && type <= COMMANDS.symlink.number;
}

/**
 * Whether command `i` makes something that the next one, before `last`, renames. Senders make everything under a temporary
 * name: made under its own at once, it is the same for half of the work.
 */
export function isNamedNext(batch: CommandBatch, i: number, last: number): boolean {
  if (!isCreation(batch.type(i)) || i + 1 >= last || batch.type(i + 1) !== COMMANDS.rename.number) return false;
  const made = batch.find(i, PATH);
  const renamed = batch.find(i + 1, PATH);
  const length = batch.valueLength(made);
  if (batch.valueLength(renamed) !== length) return false;
  const { bytes } = batch;
  const [a, b] = [batch.valueAt(made), batch.valueAt(renamed)];
  for (let n = 0; n < length; n++) if (bytes[a + n] !== bytes[b + n]) return false;
  return true;
}
