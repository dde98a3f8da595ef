import { displayName } from "../bytes/display.ts";
import type { Command, CommandName, CommandNamed } from "../stream/commands.ts";

type Words = {
  readonly [N in Exclude<CommandName, "subvol" | "snapshot" | "end">]: (command: CommandNamed<N>) => string;
};

const name = displayName;

const WORDS: Words = {
  mkfile: ({ path }) => `mkfile ${name(path)}`,
  mkdir: ({ path }) => `mkdir ${name(path)}`,
  mknod: ({ path, mode, rdev }) => `mknod ${name(path)} mode=${mode}, dev=${rdev}`,
  mkfifo: ({ path }) => `mkfifo ${name(path)}`,
  mksock: ({ path }) => `mksock ${name(path)}`,
  symlink: ({ path, pathLink }) => `symlink ${name(path)} -> ${name(pathLink)}`,
  rename: ({ path, pathTo }) => `rename ${name(path)} -> ${name(pathTo)}`,
  link: ({ path, pathLink }) => `link ${name(path)} -> ${name(pathLink)}`,
  unlink: ({ path }) => `unlink ${name(path)}`,
  rmdir: ({ path }) => `rmdir ${name(path)}`,
  write: ({ path, fileOffset, data }) => `write ${name(path)} - offset=${fileOffset} length=${data.byteLength}`,
  encodedWrite: ({
    path,
    fileOffset,
    unencodedFileLen,
    unencodedLen,
    unencodedOffset,
    compression,
    encryption,
    data,
  }) =>
    `encoded_write ${name(path)} - offset=${fileOffset}, len=${data.byteLength}, unencoded_offset=${unencodedOffset}, ` +
    `unencoded_file_len=${unencodedFileLen}, unencoded_len=${unencodedLen}, compression=${compression}, encryption=${encryption}`,
  clone: ({ path, clonePath, cloneOffset, fileOffset, cloneLen }) =>
    `clone ${name(path)} - source=${name(clonePath)} source offset=${cloneOffset} offset=${fileOffset} length=${cloneLen}`,
  setXattr: ({ path, xattrName, xattrData }) =>
    `set_xattr ${name(path)} - name=${name(xattrName)} data_len=${xattrData.byteLength} data=${name(asInC(xattrData))}`,
  removeXattr: ({ path, xattrName }) => `remove_xattr ${name(path)} - name=${name(xattrName)}`,
  truncate: ({ path, size }) => `truncate ${name(path)} size=${size}`,
  chmod: ({ path, mode }) => `chmod ${name(path)} - mode=0${mode.toString(8)}`,
  chown: ({ path, uid, gid }) => `chown ${name(path)} - uid=${uid}, gid=${gid}`,
  utimes: ({ path }) => `utimes ${name(path)}`,
  updateExtent: ({ path, fileOffset, size }) => `update_extent ${name(path)}: offset=${fileOffset}, len=${size}`,
  fallocate: ({ path, fileOffset, size, fallocateMode }) =>
    `fallocate ${name(path)} - offset=${fileOffset}, len=${size}, mode=${fallocateMode}`,
  fileattr: ({ path, fileattr }) => `fileattr ${name(path)} - flags=0x${fileattr.toString(16)}`,
  enableVerity: ({ path, verityAlgorithm, verityBlockSize }) =>
    `enable_verity ${name(path)} - algorithm=${verityAlgorithm}, block_size=${verityBlockSize}`,
};

/**
 * What `btrfs receive -vv` of btrfs-progs 6.2 says of a command that it is about to carry out, names escaped; of FILEATTR, of
 * which it says nothing, and of ENABLE_VERITY, which it does not know, in our own words.
 */
export function narration(command: Command): string | undefined {
  return (WORDS as Readonly<Record<string, (command: Command) => string>>)[command.name]?.(command);
}

/** A string ends at its first NUL. */
function asInC(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}
