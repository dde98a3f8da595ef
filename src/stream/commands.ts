import { ATTRIBUTES, type AttributeField, kernelName, type ValueOf } from "./attributes.ts";

interface CommandSpec {
  readonly number: number;
  /** The first protocol version whose kernels write it. */
  readonly since: 1 | 2 | 3;
  /** In the order in which the kernel writes them. A question mark: a receiver does without. */
  readonly attributes: readonly (AttributeField | `${AttributeField}?`)[];
}

/** `enum btrfs_send_cmd`, keyed by the name of the decoded command. */
export const COMMANDS = {
  subvol: { number: 1, since: 1, attributes: ["path", "uuid", "ctransid"] },
  snapshot: { number: 2, since: 1, attributes: ["path", "uuid", "ctransid", "cloneUuid", "cloneCtransid"] },
  mkfile: { number: 3, since: 1, attributes: ["path", "ino"] },
  mkdir: { number: 4, since: 1, attributes: ["path", "ino"] },
  mknod: { number: 5, since: 1, attributes: ["path", "ino", "rdev", "mode"] },
  mkfifo: { number: 6, since: 1, attributes: ["path", "ino", "rdev?", "mode?"] },
  mksock: { number: 7, since: 1, attributes: ["path", "ino", "rdev?", "mode?"] },
  symlink: { number: 8, since: 1, attributes: ["path", "ino", "pathLink"] },
  rename: { number: 9, since: 1, attributes: ["path", "pathTo"] },
  link: { number: 10, since: 1, attributes: ["path", "pathLink"] },
  unlink: { number: 11, since: 1, attributes: ["path"] },
  rmdir: { number: 12, since: 1, attributes: ["path"] },
  setXattr: { number: 13, since: 1, attributes: ["path", "xattrName", "xattrData"] },
  removeXattr: { number: 14, since: 1, attributes: ["path", "xattrName"] },
  write: { number: 15, since: 1, attributes: ["path", "fileOffset", "data"] },
  clone: {
    number: 16,
    since: 1,
    attributes: ["fileOffset", "cloneLen", "path", "cloneUuid", "cloneCtransid", "clonePath", "cloneOffset"],
  },
  truncate: { number: 17, since: 1, attributes: ["path", "size"] },
  chmod: { number: 18, since: 1, attributes: ["path", "mode"] },
  chown: { number: 19, since: 1, attributes: ["path", "uid", "gid"] },
  utimes: { number: 20, since: 1, attributes: ["path", "atime", "mtime", "ctime", "otime?"] },
  end: { number: 21, since: 1, attributes: [] },
  updateExtent: { number: 22, since: 1, attributes: ["path", "fileOffset", "size"] },
  fallocate: { number: 23, since: 2, attributes: ["path", "fallocateMode", "fileOffset", "size"] },
  fileattr: { number: 24, since: 2, attributes: ["path", "fileattr"] },
  encodedWrite: {
    number: 25,
    since: 2,
    attributes: [
      "path",
      "fileOffset",
      "unencodedFileLen",
      "unencodedLen",
      "unencodedOffset",
      "compression?",
      "encryption?",
      "data",
    ],
  },
  enableVerity: {
    number: 26,
    since: 3,
    attributes: ["path", "verityAlgorithm", "verityBlockSize", "veritySaltData", "veritySigData"],
  },
} as const satisfies Record<string, CommandSpec>;

export type CommandName = keyof typeof COMMANDS;

type Listed<N extends CommandName> = (typeof COMMANDS)[N]["attributes"][number];
type Required<L> = Extract<L, AttributeField>;
type Optional<L> = L extends `${infer A extends AttributeField}?` ? A : never;

/** An attribute as it lies in the stream, for what has no field of its own. */
export interface RawAttribute {
  readonly number: number;
  readonly value: Uint8Array;
}

interface CommandBase {
  /**
   * The attributes in the order of the stream, where that is not the kernel's: unknown ones, earlier duplicates and those that the
   * command does not need come as bytes. Absent otherwise.
   */
  readonly layout?: readonly (AttributeField | RawAttribute)[];
}

type Fields<N extends CommandName> = { readonly [A in Required<Listed<N>>]: ValueOf<A> } & {
  readonly [A in Optional<Listed<N>>]?: ValueOf<A>;
};

/** One kind of command, as `CommandNamed<"write">`. */
export type CommandNamed<N extends Command["name"]> = Extract<Command, { readonly name: N }>;

/** A command whose number no protocol version has. Its CRC and its attributes were sound. */
export interface UnknownCommand {
  readonly name: "unknown";
  readonly number: number;
  readonly attributes: readonly RawAttribute[];
}

/** Every command, told apart by `name`. Bytes are views into the reader's buffer. */
export type Command =
  | { [N in CommandName]: { readonly name: N } & CommandBase & Fields<N> }[CommandName]
  | UnknownCommand;

/** The start of a segment: what `readStream` gives for each stream header, and `StreamWriter` writes as one. */
export interface SegmentStart {
  readonly name: "segment";
  readonly version: number;
}

/** What a stream is made of: segments, each a start and its commands, normally up to an `end`. */
export type StreamItem = SegmentStart | Command;

export const MAX_COMMAND = 26;

const names: (CommandName | undefined)[] = [];
for (const [name, { number }] of Object.entries(COMMANDS)) names[number] = name as CommandName;

/** The name of a command number, or `undefined` for a number that no protocol version has. */
export function commandName(number: number): CommandName | undefined {
  return names[number];
}

/** `ENCODED_WRITE`, or `command 99` for an unknown one. */
export function commandWord(number: number): string {
  const name = names[number];
  return name === undefined ? `command ${number}` : kernelName(name);
}

/** The attributes of a command in the kernel's order, each with whether a receiver needs it. */
export function attributesOf(
  name: CommandName,
): readonly { readonly field: AttributeField; readonly required: boolean }[] {
  return COMMANDS[name].attributes.map((entry) => {
    const required = !entry.endsWith("?");
    return { field: (required ? entry : entry.slice(0, -1)) as AttributeField, required };
  });
}

/** Slot of an attribute that the command does not list. */
export const NO_SLOT = 255;

/** By command number * 64 + attribute number: place of the attribute in the kernel's order, or `NO_SLOT`. */
export const SLOTS = new Uint8Array((MAX_COMMAND + 1) * 64).fill(NO_SLOT);

/** By command number: a bit for each slot that a receiver needs. */
export const REQUIRED_SLOTS = new Uint32Array(MAX_COMMAND + 1);

for (const name of Object.keys(COMMANDS) as CommandName[]) {
  const command = COMMANDS[name].number;
  attributesOf(name).forEach(({ field, required }, slot) => {
    SLOTS[command * 64 + ATTRIBUTES[field].number] = slot;
    if (required) REQUIRED_SLOTS[command]! |= 1 << slot;
  });
}
