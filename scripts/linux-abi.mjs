// Asks the C compiler for the numbers of the kernel's user-space headers that src/linux/ declares by hand, and writes
// them to test/golden/linux-abi.json. With --print, to standard output instead. Needs Linux with its headers, and cc.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const IOCTLS = `
  SNAP_DESTROY SNAP_DESTROY_V2 SUBVOL_CREATE_V2 SNAP_CREATE_V2 SUBVOL_GETFLAGS SUBVOL_SETFLAGS GET_SUBVOL_INFO
  GET_SUBVOL_ROOTREF SET_RECEIVED_SUBVOL DEFAULT_SUBVOL SYNC START_SYNC WAIT_SYNC FS_INFO DEV_INFO GET_DEV_STATS SPACE_INFO
  GET_FEATURES  TREE_SEARCH_V2 INO_LOOKUP INO_PATHS LOGICAL_INO_V2 SEND ENCODED_READ ENCODED_WRITE`
  .trim()
  .split(/\s+/)
  .map((name) => `BTRFS_IOC_${name}`)
  .concat(
    "FICLONERANGE",
    "FS_IOC_GETFLAGS",
    "FS_IOC_SETFLAGS",
    "FS_IOC_FIEMAP",
    "FS_IOC_ENABLE_VERITY",
    "FS_IOC_MEASURE_VERITY",
  );

// Fields of each struct; a rename maps the C name to ours where camel case is not all.
const STRUCTS = {
  btrfs_ioctl_vol_args: "fd name",
  btrfs_ioctl_vol_args_v2: "fd transid flags unused name",
  btrfs_ioctl_timespec: "sec nsec",
  btrfs_ioctl_get_subvol_info_args:
    "treeid name parent_id dirid generation flags uuid parent_uuid received_uuid ctransid otransid stransid rtransid ctime otime stime rtime reserved",
  btrfs_ioctl_get_subvol_rootref_args: "min_treeid rootref num_items align",
  btrfs_ioctl_received_subvol_args: "uuid stransid rtransid stime rtime flags reserved",
  btrfs_ioctl_fs_info_args:
    "max_id num_devices fsid nodesize sectorsize clone_alignment csum_type csum_size flags generation metadata_uuid reserved",
  btrfs_ioctl_dev_info_args: "devid uuid bytes_used total_bytes path",
  btrfs_ioctl_get_dev_stats: "devid nr_items flags values",
  btrfs_ioctl_space_args: "space_slots total_spaces",
  btrfs_ioctl_space_info: "flags total_bytes used_bytes",
  btrfs_ioctl_feature_flags: "compat_flags compat_ro_flags incompat_flags",
  btrfs_ioctl_search_key:
    "tree_id min_objectid max_objectid min_offset max_offset min_transid max_transid min_type max_type nr_items unused",
  btrfs_ioctl_search_args_v2: "buf_size",
  btrfs_ioctl_search_header: "transid objectid offset type len",
  btrfs_ioctl_ino_lookup_args: "treeid objectid name",
  btrfs_ioctl_ino_path_args: "inum size reserved fspath",
  btrfs_ioctl_logical_ino_args: "logical size reserved flags inodes",
  btrfs_data_container: "bytes_left bytes_missing elem_cnt elem_missed",
  btrfs_ioctl_send_args: "send_fd clone_sources_count clone_sources parent_root flags version reserved",
  btrfs_ioctl_encoded_io_args:
    "iov iovcnt offset flags len unencoded_len unencoded_offset compression encryption reserved",
  iovec: "iov_base iov_len",
  file_clone_range: "src_fd src_offset src_length dest_offset",
  fiemap: "fm_start fm_length fm_flags fm_mapped_extents fm_extent_count fm_reserved",
  fiemap_extent: "fe_logical fe_physical fe_length fe_reserved64 fe_flags fe_reserved",
  fsverity_enable_arg: "version hash_algorithm block_size salt_size salt_ptr sig_size sig_ptr",
  fsverity_digest: "digest_algorithm digest_size",
  open_how: "flags mode resolve",
  timespec: "tv_sec tv_nsec",
  statx_timestamp: "tv_sec tv_nsec",
  statx:
    "stx_mask stx_blksize stx_attributes stx_nlink stx_uid stx_gid stx_mode stx_ino stx_size stx_blocks stx_attributes_mask stx_atime stx_btime stx_ctime stx_mtime stx_rdev_major stx_rdev_minor stx_dev_major stx_dev_minor",
  statfs: "f_type f_bsize f_blocks f_bfree f_bavail f_files f_ffree f_fsid f_namelen f_frsize f_flags",
};

const SYSCALLS =
  `read close lseek ioctl pread64 pwrite64 pwritev fcntl flock fsync fdatasync ftruncate fchmod fchown fstatfs setxattr lsetxattr
  fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr getdents64
  openat mkdirat mknodat fchownat unlinkat linkat symlinkat readlinkat fchmodat utimensat fallocate pipe2 syncfs renameat2
  copy_file_range statx openat2`
    .trim()
    .split(/\s+/);

const structLines = Object.entries(STRUCTS).flatMap(([name, fields]) => [
  `S(${name})`,
  ...fields.split(" ").map((field) => `F(${name}, ${field})`),
]);

const PROGRAM = `
#define _GNU_SOURCE
#include <stdio.h>
#include <stddef.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <linux/types.h>
#include <linux/stat.h>
#include <linux/fs.h>
#include <linux/fiemap.h>
#include <linux/fsverity.h>
#include <linux/openat2.h>
#include <linux/btrfs.h>
#define I(name) printf("ioctl %s %lu\\n", #name, (unsigned long)(unsigned int)name);
#define S(name) printf("size %s %zu\\n", #name, sizeof(struct name));
#define F(name, field) printf("offset %s.%s %zu\\n", #name, #field, offsetof(struct name, field));
int main(void) {
${IOCTLS.map((name) => `I(${name})`).join("\n")}
${structLines.join("\n")}
return 0; }
`;

const numbersOf = (header) => `
#include <stdio.h>
#define __ARCH_WANT_RENAMEAT
#include <${header}>
#define N(name) printf("syscall %s %d\\n", #name, __NR_##name);
int main(void) {
${SYSCALLS.map((name) => `N(${name})`).join("\n")}
return 0; }
`;

/** 64-bit platforms see these names of the shared table under others. */
const GENERIC_NAMES =
  "#define __BITS_PER_LONG 64\n#define __NR_lseek 62\n#define __NR_pread64 67\n#define __NR_pwrite64 68\n";

function run(source) {
  const dir = mkdtempSync(join(tmpdir(), "btrkit-abi-"));
  try {
    writeFileSync(join(dir, "abi.c"), source);
    execFileSync("cc", ["-o", join(dir, "abi"), join(dir, "abi.c")], { stdio: ["ignore", "pipe", "pipe"] });
    return execFileSync(join(dir, "abi"), { encoding: "utf8" }).trim().split("\n");
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function tableOf(lines, kind) {
  const rows = lines.map((line) => line.split(" ")).filter(([word]) => word === kind);
  return Object.fromEntries(rows.map(([, name, value]) => [name, Number(value)]));
}

/** The table of this machine's headers. */
export function readAbi() {
  const abi = run(PROGRAM);
  return {
    ioctls: tableOf(abi, "ioctl"),
    sizes: tableOf(abi, "size"),
    offsets: tableOf(abi, "offset"),
    syscalls: {
      x64: tableOf(run(numbersOf("asm/unistd_64.h")), "syscall"),
      generic: tableOf(
        run(numbersOf("asm-generic/unistd.h").replace("#define __ARCH", `${GENERIC_NAMES}#define __ARCH`)),
        "syscall",
      ),
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = `${JSON.stringify(readAbi(), null, 2)}\n`;
  if (process.argv.includes("--print")) process.stdout.write(text);
  else writeFileSync(fileURLToPath(new URL("../test/golden/linux-abi.json", import.meta.url)), text);
}
