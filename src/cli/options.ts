/** One option of a command. `value` names its argument, as `FILE`; without it the option is a switch. */
export interface Option {
  readonly short?: string;
  readonly long?: string;
  readonly value?: string;
  /** The argument may be left out; it is then empty. Only `--name=VALUE` gives it, as with getopt_long. */
  readonly optionalValue?: true;
  /** A switch is counted, values are collected. */
  readonly many?: true;
  readonly brief: string;
  /** Words to offer on completion; a `value` of `FILE` or `STREAM` offers files. */
  readonly choices?: readonly string[];
}

export type Options = Readonly<Record<string, Option>>;

type Given<O extends Option> = O extends { readonly value: string }
  ? O extends { readonly many: true }
    ? readonly string[]
    : string | undefined
  : O extends { readonly many: true }
    ? number
    : boolean;

/** What the command line said, by the names of the declaration. */
export type Parsed<O extends Options> = { readonly [Name in keyof O]: Given<O[Name]> };

/** The command line is wrong: printed with a pointer to `--help`. */
export class UsageError extends Error {}

/**
 * Reads options the way getopt_long does: anywhere among the operands, short ones grouped (`-vvf FILE`), long ones
 * cut short while they stay unique, values in the same word or the next, `--` ends them.
 *
 * @throws {UsageError}
 */
export function parseOptions<O extends Options>(
  declared: O,
  args: readonly string[],
): { options: Parsed<O>; operands: string[] } {
  const given = new Map<string, string[]>();
  const operands: string[] = [];
  const rest = [...args];
  const note = (name: string, value: string) => {
    if (!given.has(name)) given.set(name, []);
    given.get(name)!.push(value);
  };
  const next = (shown: string): string => {
    const value = rest.shift();
    if (value === undefined) throw new UsageError(`option '${shown}' requires an argument`);
    return value;
  };

  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--") {
      operands.push(...rest);
      break;
    }
    if (word.startsWith("--")) {
      const equals = word.indexOf("=");
      const [name, option] = findLong(declared, equals < 0 ? word : word.slice(0, equals));
      if (option.value !== undefined) {
        const following = option.optionalValue ? () => "" : next;
        note(name, equals < 0 ? following(word) : word.slice(equals + 1));
      } else if (equals < 0) note(name, "");
      else throw new UsageError(`option '--${option.long}' doesn't allow an argument`);
    } else if (word.length > 1 && word.startsWith("-")) {
      for (let at = 1; at < word.length; at++) {
        const [name, option] = findShort(declared, word[at]!);
        if (option.value === undefined) {
          note(name, "");
          continue;
        }
        note(name, at + 1 < word.length ? word.slice(at + 1) : next(`-${option.short}`));
        break;
      }
    } else {
      operands.push(word);
    }
  }
  return { options: valuesOf(declared, given), operands };
}

function findShort(declared: Options, letter: string): [string, Option] {
  const found = Object.entries(declared).find(([, option]) => option.short === letter);
  if (found === undefined) throw new UsageError(`invalid option '${letter}'`);
  return found;
}

function findLong(declared: Options, word: string): [string, Option] {
  const wanted = word.slice(2);
  const near = Object.entries(declared).filter(([, option]) => option.long?.startsWith(wanted));
  const exact = near.find(([, option]) => option.long === wanted);
  if (exact !== undefined) return exact;
  if (near.length === 0) throw new UsageError(`unrecognized option '${word}'`);
  if (near.length > 1) {
    const names = near.map(([, option]) => `'--${option.long}'`).join(" ");
    throw new UsageError(`option '${word}' is ambiguous; possibilities: ${names}`);
  }
  return near[0]!;
}

function valuesOf<O extends Options>(declared: O, given: ReadonlyMap<string, readonly string[]>): Parsed<O> {
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(declared)) {
    const seen = given.get(name) ?? [];
    if (option.value === undefined) values[name] = option.many ? seen.length : seen.length > 0;
    else values[name] = option.many ? seen : seen.at(-1);
    const wrong = option.choices === undefined ? undefined : seen.find((value) => !option.choices!.includes(value));
    if (wrong !== undefined) {
      throw new UsageError(`option '--${option.long}' can't be '${wrong}', expected ${option.choices!.join(", ")}`);
    }
  }
  return values as Parsed<O>;
}
