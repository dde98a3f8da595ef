import { displayName } from "../bytes/display.ts";
import { BtrfsError, type Where } from "../errors.ts";
import { ATTRIBUTES } from "../stream/attributes.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { commandWord } from "../stream/commands.ts";

/** What is known of a command after its batch is gone. */
export interface CommandPlace {
  readonly type: number;
  readonly where: Where;
  /** The other name that it is about, for display: of RENAME, LINK, SYMLINK, CLONE and the xattr commands. */
  readonly other?: string | undefined;
}

const PATH = ATTRIBUTES.path.number;
const OTHERS = (["pathTo", "pathLink", "clonePath", "xattrName"] as const).map((field) => ATTRIBUTES[field].number);

export function placeOf(batch: CommandBatch, i: number): CommandPlace {
  const path = batch.value(i, PATH);
  const where = batch.where(i);
  const other = OTHERS.map((attribute) => batch.value(i, attribute)).find((value) => value !== undefined);
  return {
    type: batch.type(i),
    where: path === undefined ? where : { ...where, path: displayName(path) },
    other: other === undefined ? undefined : displayName(other),
  };
}

/** A command of a stream that was not carried out, and where it stands; `cause` is why. */
export class CommandError extends BtrfsError {
  /** Number of the command. */
  readonly type: number;
  /** The other name that it is about. */
  readonly other: string | undefined;

  constructor({ type, where, other }: CommandPlace, cause: BtrfsError) {
    super(cause.code, `Cannot carry out ${commandWord(type)}: ${reasonOf(cause)}`, {
      where: { ...cause.where, ...where },
      cause,
    });
    this.type = type;
    this.other = other;
  }

  /** What is no `BtrfsError` (an abort, a fault of our own) stays as it is. */
  static of(batch: CommandBatch, i: number, cause: unknown): unknown {
    return cause instanceof BtrfsError && !(cause instanceof CommandError)
      ? new CommandError(placeOf(batch, i), cause)
      : cause;
  }
}

/** One "Cannot" is enough. */
function reasonOf({ sentence }: BtrfsError): string {
  return sentence.replace(/^Cannot /, "cannot ");
}
