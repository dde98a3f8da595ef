/** How the value of an attribute is encoded. Numbers are little endian; strings and data may have any length. */
export type AttributeType = "u8" | "u32" | "u64" | "uuid" | "timespec" | "string" | "data";

/** A point in time as the inode item stores it. */
export interface Timespec {
  /** Seconds since 1970, negative before. */
  readonly seconds: bigint;
  readonly nanoseconds: number;
}

/** What an attribute's value is in a decoded command. Names and paths are bytes; bytes are views into the stream. */
export interface AttributeValues {
  u8: number;
  u32: number;
  u64: bigint;
  uuid: Uint8Array;
  timespec: Timespec;
  string: Uint8Array;
  data: Uint8Array;
}

export interface AttributeSpec {
  readonly number: number;
  readonly type: AttributeType;
  /** The first protocol version whose kernels write it. */
  readonly since: 1 | 2 | 3;
}

/** `enum btrfs_send_attribute`, keyed by the field that holds the value in a decoded command. */
export const ATTRIBUTES = {
  /** Received uuid of the subvolume that was sent, else its uuid. */
  uuid: { number: 1, type: "uuid", since: 1 },
  ctransid: { number: 2, type: "u64", since: 1 },
  /** Inode number at the sender. */
  ino: { number: 3, type: "u64", since: 1 },
  /** File size of TRUNCATE, length in bytes of UPDATE_EXTENT and FALLOCATE. */
  size: { number: 4, type: "u64", since: 1 },
  mode: { number: 5, type: "u64", since: 1 },
  uid: { number: 6, type: "u64", since: 1 },
  gid: { number: 7, type: "u64", since: 1 },
  /** Device number as Linux encodes it for programs: minor & 0xff, major << 8, the rest of minor << 12. */
  rdev: { number: 8, type: "u64", since: 1 },
  ctime: { number: 9, type: "timespec", since: 1 },
  mtime: { number: 10, type: "timespec", since: 1 },
  atime: { number: 11, type: "timespec", since: 1 },
  otime: { number: 12, type: "timespec", since: 2 },
  xattrName: { number: 13, type: "string", since: 1 },
  xattrData: { number: 14, type: "data", since: 1 },
  path: { number: 15, type: "string", since: 1 },
  pathTo: { number: 16, type: "string", since: 1 },
  /** Target of a symlink; existing name of a hard link. */
  pathLink: { number: 17, type: "string", since: 1 },
  fileOffset: { number: 18, type: "u64", since: 1 },
  data: { number: 19, type: "data", since: 1 },
  cloneUuid: { number: 20, type: "uuid", since: 1 },
  cloneCtransid: { number: 21, type: "u64", since: 1 },
  /** Relative to the subvolume named by `cloneUuid`. */
  clonePath: { number: 22, type: "string", since: 1 },
  cloneOffset: { number: 23, type: "u64", since: 1 },
  cloneLen: { number: 24, type: "u64", since: 1 },
  /** `FALLOC_FL_*` of Linux. */
  fallocateMode: { number: 25, type: "u32", since: 2 },
  /** `flags` of `struct btrfs_inode_item`. */
  fileattr: { number: 26, type: "u64", since: 2 },
  /** Bytes of the file that an encoded write covers. */
  unencodedFileLen: { number: 27, type: "u64", since: 2 },
  /** Bytes that the encoded data decodes to. */
  unencodedLen: { number: 28, type: "u64", since: 2 },
  /** Where the covered range starts in the decoded data. */
  unencodedOffset: { number: 29, type: "u64", since: 2 },
  /** `ENCODED_*` of `format/encoded-io.ts`; absent is 0. */
  compression: { number: 30, type: "u32", since: 2 },
  /** Absent is 0, and nothing else exists. */
  encryption: { number: 31, type: "u32", since: 2 },
  verityAlgorithm: { number: 32, type: "u8", since: 3 },
  /** In bytes. */
  verityBlockSize: { number: 33, type: "u32", since: 3 },
  veritySaltData: { number: 34, type: "data", since: 3 },
  veritySigData: { number: 35, type: "data", since: 3 },
} as const satisfies Record<string, AttributeSpec>;

export type AttributeField = keyof typeof ATTRIBUTES;
export type ValueOf<A extends AttributeField> = AttributeValues[(typeof ATTRIBUTES)[A]["type"]];

export const MAX_ATTRIBUTE = 35;

/** The kernel's word for a camel-case name: `FILE_OFFSET` for `fileOffset`. */
export function kernelName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

const fields: (AttributeField | undefined)[] = [];
for (const [field, { number }] of Object.entries(ATTRIBUTES)) fields[number] = field as AttributeField;

/** The field of an attribute number, or `undefined` for a number that no protocol version has. */
export function attributeField(number: number): AttributeField | undefined {
  return fields[number];
}

/** `FILE_OFFSET`, or `attribute 99` for an unknown one. */
export function attributeName(number: number): string {
  const field = fields[number];
  return field === undefined ? `attribute ${number}` : kernelName(field);
}

const SIZES: Readonly<Record<AttributeType, number>> = {
  u8: 1,
  u32: 4,
  u64: 8,
  uuid: 16,
  timespec: 12,
  string: -1,
  data: -1,
};

/** By attribute number: the only size that the value may have in bytes, or -1 for any. */
export const ATTRIBUTE_SIZES = Int8Array.from({ length: MAX_ATTRIBUTE + 1 }, (_, number) => {
  const field = fields[number];
  return field === undefined ? -1 : SIZES[ATTRIBUTES[field].type];
});
