/** What kind of thing went wrong: a closed set, stable across releases, for programs to switch on. */
export type ErrorCode =
  /** Bytes contradict the format, or their checksum. */
  | "corrupt"
  /** Input ended before what it announced. */
  | "truncated"
  /** A checksum does not match. */
  | "checksum"
  /** Sound, but a feature, version or algorithm that btrkit does not handle. */
  | "unsupported"
  /** A length or count is over the limit that the caller set. */
  | "limit"
  /** A path that is unsafe or malformed. */
  | "path"
  /** What was asked for is not there. */
  | "missing"
  /** What should be made is there already. */
  | "exists"
  /** The thing is of another kind than the operation needs. */
  | "kind"
  /** No right to do it. */
  | "permission"
  /** No space left. */
  | "space"
  /** In use: mounted, locked, or changed while being read. */
  | "busy"
  /** The host's input or output failed. */
  | "io"
  /** Refused by the kernel; `errno` says how. */
  | "kernel";

/** Where it happened. Each layer fills in what it knows. Offsets and addresses are in bytes. */
export interface Where {
  /** Host path of the file or device that was read or written. */
  readonly file?: string;
  /** Device id inside the filesystem. */
  readonly device?: number;
  /** Byte offset on that device. */
  readonly physical?: number;
  /** Logical address. */
  readonly logical?: number;
  /** Object id of the tree. */
  readonly tree?: bigint;
  readonly key?: string;
  readonly slot?: number;
  readonly inode?: bigint;
  /** Path inside the filesystem or the stream, for display. */
  readonly path?: string;
  /** Byte offset inside the file named by `path`. */
  readonly fileOffset?: bigint;
  /** Byte offset in the send stream. */
  readonly streamOffset?: number;
  /** Index of the command in the stream, counted from 0. */
  readonly commandIndex?: number;
  /** Name of the command, as `ENCODED_WRITE`. */
  readonly command?: string;
  /** Name of the attribute, as `FILE_OFFSET`. */
  readonly attribute?: string;
}

const WORDS: readonly (readonly [keyof Where, (value: never) => string])[] = [
  ["file", (value: string) => value],
  ["path", (value: string) => `path ${value}`],
  ["inode", (value: bigint) => `inode ${value}`],
  ["fileOffset", (value: bigint) => `file offset ${value}`],
  ["streamOffset", (value: number) => `stream offset ${value}`],
  ["commandIndex", (value: number) => `command ${value}`],
  ["command", (value: string) => value],
  ["attribute", (value: string) => `attribute ${value}`],
  ["tree", (value: bigint) => `tree ${value}`],
  ["key", (value: string) => `key ${value}`],
  ["slot", (value: number) => `slot ${value}`],
  ["logical", (value: number) => `logical ${value}`],
  ["device", (value: number) => `device ${value}`],
  ["physical", (value: number) => `at ${value}`],
];

/** `where` in words: `tree 5, logical 30408704, device 1, at 22036480`. Empty when nothing is known. */
export function describeWhere(where: Where): string {
  return WORDS.filter(([field]) => where[field] !== undefined)
    .map(([field, say]) => say(where[field] as never))
    .join(", ");
}

export interface ErrorOptionsWithWhere {
  readonly where?: Where;
  readonly cause?: unknown;
}

/**
 * Every failure that btrkit reports about the outside world.
 *
 * `message` is the sentence followed by the place in parentheses; `sentence` is the sentence alone.
 * Wrong arguments of the library are `TypeError` or `RangeError` instead.
 */
export class BtrfsError extends Error {
  readonly code: ErrorCode;
  readonly sentence: string;
  readonly where: Where;

  constructor(code: ErrorCode, sentence: string, options: ErrorOptionsWithWhere = {}) {
    const where = options.where ?? {};
    const place = describeWhere(where);
    super(
      place === "" ? sentence : `${sentence} (${place})`,
      options.cause === undefined ? {} : { cause: options.cause },
    );
    this.name = new.target.name;
    this.code = code;
    this.sentence = sentence;
    this.where = where;
  }
}

/** On-disk bytes that contradict the format or their checksum. */
export class CorruptError extends BtrfsError {
  constructor(
    sentence: string,
    where: Where = {},
    options: { code?: "corrupt" | "checksum" | "truncated"; cause?: unknown } = {},
  ) {
    super(options.code ?? "corrupt", sentence, { where, cause: options.cause });
  }
}

/** Sound, but beyond what btrkit, the kernel or this host can do. The sentence names the feature. */
export class UnsupportedError extends BtrfsError {
  constructor(sentence: string, where: Where = {}, cause?: unknown) {
    super("unsupported", sentence, { where, cause });
  }
}

/** A send stream that can't be read further at this place. */
export class StreamError extends BtrfsError {
  constructor(
    code: "corrupt" | "truncated" | "checksum" | "unsupported" | "limit" | "path",
    sentence: string,
    options: ErrorOptionsWithWhere = {},
  ) {
    super(code, sentence, options);
  }
}

/** A system call that the kernel refused. `sentence` ends with what a person can do. */
export class KernelError extends BtrfsError {
  /** The system call or ioctl, as `BTRFS_IOC_ENCODED_READ`. */
  readonly call: string;
  /** Name of the error, as `EPERM`. */
  readonly errno: string;

  constructor(call: string, errno: string, sentence: string, options: ErrorOptionsWithWhere = {}) {
    super("kernel", sentence, options);
    this.call = call;
    this.errno = errno;
  }
}

/** A refused encoded read or write, from an image as from the kernel. `errno` is what the ioctl would return. */
export class EncodedIoError extends BtrfsError {
  readonly errno: string;

  constructor(errno: string, sentence: string, options: ErrorOptionsWithWhere = {}) {
    super(errno === "EIO" ? "corrupt" : "kernel", sentence, options);
    this.errno = errno;
  }
}
