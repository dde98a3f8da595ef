#!/usr/bin/env python3
"""Prints what a directory tree holds, one JSON object a name, depth first in byte order.

tree_of.py [--holes] [--inodes] DIRECTORY

Names, link targets and xattr names are bytes: each character stands for one byte (latin-1). Xattr values are hex.
Times are nanoseconds as decimal strings. `link` is the first path of the same inode where there are several.
The size of a directory is left out: filesystems count it differently. `sha256` is of the contents; above 256 MiB it is
`blocks` instead, over the 4 KiB blocks that are not zero, each after its offset as u64.
"""

import hashlib
import json
import os
import stat
import sys

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


def text(raw):
    return raw.decode("latin-1")


def digest(path):
    sha = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(1 << 20):
            sha.update(chunk)
    return sha.hexdigest()


def digest_of_blocks(path, size):
    sha = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        for start, length in data_ranges(path, size):
            for at in range(start & ~4095, start + length, 4096):
                block = os.pread(file.fileno(), 4096, at)
                if any(block):
                    sha.update(at.to_bytes(8, "little") + block)
    return sha.hexdigest()


def data_ranges(path, size):
    """[offset, length] of each stretch that SEEK_DATA and SEEK_HOLE call data."""
    ranges = []
    descriptor = os.open(path, os.O_RDONLY)
    try:
        at = 0
        while at < size:
            try:
                start = os.lseek(descriptor, at, os.SEEK_DATA)
            except OSError:
                break
            at = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
            ranges.append([start, at - start])
    finally:
        os.close(descriptor)
    return ranges


def xattrs_of(path):
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    names = sorted(os.fsencode(name) for name in names)
    return {text(name): os.getxattr(path, name, follow_symlinks=False).hex() for name in names}


def entry(path, name, status, seen, options):
    kind = KINDS[stat.S_IFMT(status.st_mode)]
    out = {"path": text(name), "type": kind, "mode": stat.S_IMODE(status.st_mode)}
    out["uid"], out["gid"] = status.st_uid, status.st_gid
    out["mtime"] = str(status.st_mtime_ns)
    if options["inodes"]:
        out["inode"] = status.st_ino
        out["atime"], out["ctime"] = str(status.st_atime_ns), str(status.st_ctime_ns)
    if kind != "dir" and status.st_nlink > 1:
        out["nlink"] = status.st_nlink
        first = seen.setdefault((status.st_dev, status.st_ino), text(name))
        if first != out["path"]:
            out["link"] = first
    if kind == "file":
        out["size"] = status.st_size
        if status.st_size <= 256 << 20:
            out["sha256"] = digest(path)
        else:
            out["blocks"] = digest_of_blocks(path, status.st_size)
        if options["holes"]:
            out["data"] = data_ranges(path, status.st_size)
    elif kind == "symlink":
        out["target"] = text(os.readlink(path))
    elif kind in ("char", "block"):
        out["rdev"] = [os.major(status.st_rdev), os.minor(status.st_rdev)]
    xattrs = xattrs_of(path)
    if xattrs:
        out["xattrs"] = xattrs
    return out


def main():
    flags = [argument for argument in sys.argv[1:] if argument.startswith("--")]
    places = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    options = {"holes": "--holes" in flags, "inodes": "--inodes" in flags}
    # Relative paths from inside the tree, and one level at a time: a deep tree may be longer than PATH_MAX.
    os.chdir(places[0])
    seen = {}
    out = sys.stdout

    def walk(name, status, here):
        print(json.dumps(entry(here, name, status, seen, options)), file=out)
        if not stat.S_ISDIR(status.st_mode):
            return
        os.chdir(here)
        for child in sorted(os.listdir(b".")):
            walk(name + b"/" + child if name else child, os.lstat(child), child)
        # A directory's parent: ".." holds, since nobody moves directories while we walk.
        os.chdir(b"..")

    sys.setrecursionlimit(100_000)
    status = os.lstat(".")
    print(json.dumps(entry(b".", b"", status, seen, options)), file=out)
    for child in sorted(os.listdir(b".")):
        walk(child, os.lstat(child), child)


main()
