import { ATTRIBUTE_SIZES, ATTRIBUTES, type AttributeField } from "../stream/attributes.ts";
import { attributesOf, COMMANDS, type CommandName, MAX_COMMAND } from "../stream/commands.ts";

/** How a value is shown: small numbers, for a `switch` in the hot loop. Strings end at a NUL, as in C. */
export const SHOW = {
  u64: 0,
  octal: 1,
  time: 2,
  length: 3,
  hex: 4,
  u32: 5,
  s32: 6,
  u8: 7,
  /** The low half, as an int that becomes a u64 again. */
  int: 8,
  uuid: 9,
  raw: 10,
  /** A string, escaped. */
  link: 11,
  /** A path in the subvolume, escaped, or as it is. */
  to: 12,
  from: 13,
} as const;

export interface Field {
  /** Begins with what separates it from the field before. */
  readonly label: Uint8Array;
  /** Its attribute, by the place in `needed`. */
  readonly place: number;
  readonly show: number;
}

/** How one command becomes a line. */
export interface Line {
  /** The name, filled up to its column. */
  readonly name: Uint8Array;
  readonly word: string;
  /** Attributes in the order in which they are asked for. */
  readonly needed: Uint8Array;
  /** By place in `needed`: the size that it must have in bytes, or -1. */
  readonly sizes: Int8Array;
  /** By place in `needed`: 1 where it may be absent. */
  readonly optional: Uint8Array;
  /** The kernel's order, and by place in `needed` the place there: where to look first. */
  readonly order: Uint8Array;
  readonly guesses: Uint8Array;
  readonly fields: readonly Field[];
  /** Place in `needed` of the second path that lies in the subvolume, or -1. */
  readonly otherPath: number;
}

/** Place of PATH in every `needed`. */
export const PATH_PLACE = 0;

const NAME_COLUMN = 16;

const encoder = new TextEncoder();

/** What comes after the path: `label attribute how`. A label begins with what separates it from the field before. */
const FIELDS: Readonly<
  Partial<Record<CommandName, readonly (readonly [string, AttributeField, keyof typeof SHOW])[]>>
> = {
  subvol: [
    ["uuid=", "uuid", "uuid"],
    [" transid=", "ctransid", "u64"],
  ],
  snapshot: [
    ["uuid=", "uuid", "uuid"],
    [" transid=", "ctransid", "u64"],
    [" parent_uuid=", "cloneUuid", "uuid"],
    [" parent_transid=", "cloneCtransid", "u64"],
  ],
  mkfile: [],
  mkdir: [],
  mknod: [
    ["mode=", "mode", "octal"],
    [" dev=0x", "rdev", "hex"],
  ],
  mkfifo: [],
  mksock: [],
  symlink: [["dest=", "pathLink", "link"]],
  rename: [["dest=", "pathTo", "to"]],
  link: [["dest=", "pathLink", "link"]],
  unlink: [],
  rmdir: [],
  setXattr: [
    ["name=", "xattrName", "raw"],
    [" data=", "xattrData", "raw"],
    [" len=", "xattrData", "length"],
  ],
  removeXattr: [["name=", "xattrName", "raw"]],
  write: [
    ["offset=", "fileOffset", "u64"],
    [" len=", "data", "length"],
  ],
  clone: [
    ["offset=", "fileOffset", "u64"],
    // Through an int, as btrfs-progs prints it.
    [" len=", "cloneLen", "int"],
    [" from=", "clonePath", "from"],
    [" clone_offset=", "cloneOffset", "u64"],
  ],
  truncate: [["size=", "size", "u64"]],
  chmod: [["mode=", "mode", "octal"]],
  chown: [
    ["gid=", "gid", "u64"],
    [" uid=", "uid", "u64"],
  ],
  utimes: [
    ["atime=", "atime", "time"],
    [" mtime=", "mtime", "time"],
    [" ctime=", "ctime", "time"],
  ],
  updateExtent: [
    ["offset=", "fileOffset", "u64"],
    [" len=", "size", "u64"],
  ],
  fallocate: [
    ["mode=", "fallocateMode", "s32"],
    [" offset=", "fileOffset", "u64"],
    [" len=", "size", "u64"],
  ],
  // Decimal after 0x, as btrfs-progs prints it.
  fileattr: [["fileattr=0x", "fileattr", "u64"]],
  encodedWrite: [
    ["offset=", "fileOffset", "u64"],
    [" len=", "data", "length"],
    [", unencoded_file_len=", "unencodedFileLen", "u64"],
    [", unencoded_len=", "unencodedLen", "u64"],
    [", unencoded_offset=", "unencodedOffset", "u64"],
    [", compression=", "compression", "u32"],
    [", encryption=", "encryption", "u32"],
  ],
  enableVerity: [
    ["algorithm=", "verityAlgorithm", "u8"],
    [" block_size=", "verityBlockSize", "u32"],
    [" salt_len=", "veritySaltData", "length"],
    [" sig_len=", "veritySigData", "length"],
  ],
};

/** What `btrfs receive` asks for, where that is not the kernel's order. */
const NEEDED: Readonly<Partial<Record<CommandName, readonly AttributeField[]>>> = {
  mknod: ["path", "ino", "mode", "rdev"],
  clone: ["path", "fileOffset", "cloneLen", "cloneUuid", "cloneCtransid", "clonePath", "cloneOffset"],
};

function lineOf(name: CommandName, fields: NonNullable<(typeof FIELDS)[CommandName]>): Line {
  const order = attributesOf(name);
  const shown: ReadonlySet<string> = new Set(fields.map(([, field]) => field));
  const asked =
    NEEDED[name] ?? order.filter(({ field, required }) => required || shown.has(field)).map(({ field }) => field);
  const needed = asked.map((field) => ATTRIBUTES[field].number);
  const other = asked.findIndex((field) => field === "pathTo" || field === "clonePath");
  const word = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return {
    name: encoder.encode(word.padEnd(NAME_COLUMN)),
    word,
    needed: Uint8Array.from(needed),
    sizes: Int8Array.from(needed, (number) => ATTRIBUTE_SIZES[number]!),
    optional: Uint8Array.from(asked, (asks) =>
      order.some(({ field, required }) => field === asks && !required) ? 1 : 0,
    ),
    order: Uint8Array.from(order, ({ field }) => ATTRIBUTES[field].number),
    guesses: Uint8Array.from(asked, (asks) => order.findIndex(({ field }) => field === asks)),
    fields: fields.map(([label, field, show]) => ({
      label: encoder.encode(label),
      place: asked.indexOf(field),
      show: SHOW[show],
    })),
    otherPath: other,
  };
}

/** By command number. */
export const LINES: readonly (Line | undefined)[] = (() => {
  const lines: (Line | undefined)[] = new Array(MAX_COMMAND + 1).fill(undefined);
  for (const name of Object.keys(FIELDS) as CommandName[]) lines[COMMANDS[name].number] = lineOf(name, FIELDS[name]!);
  return lines;
})();
