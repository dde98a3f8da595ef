"""Carries out the steps of inherit.test.ts (JSON on standard input) below a directory; prints which of them the kernel took."""

import fcntl
import json
import os
import struct
import sys

import calls

FS_IOC_GETFLAGS = 0x80086601
FS_IOC_SETFLAGS = 0x40086602
ATTRIBUTES = {"nodatacow": 0x00800000, "nocompress": 0x00000400, "compress": 0x00000004}


def change_flags(path, name):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        (flags,) = struct.unpack("=l", fcntl.ioctl(descriptor, FS_IOC_GETFLAGS, struct.pack("=l", 0))[:4])
        fcntl.ioctl(descriptor, FS_IOC_SETFLAGS, struct.pack("=l", flags | ATTRIBUTES[name]))
    finally:
        os.close(descriptor)


def write(path, offset, length):
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(descriptor, b"a line that gets smaller when it is compressed\n" * (length // 47) + b"x" * (length % 47), offset)
        # What goes to the disk together is compressed together.
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def carry_out(step):
    path = step["path"]
    match step["do"]:
        case "file":
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, step["mode"]))
        case "directory":
            os.mkdir(path, step["mode"])
        case "symlink":
            os.symlink("target", path)
        case "fifo":
            os.mknod(path, step["mode"] | 0o010000)
        case "subvolume":
            calls.create_subvolume(path.encode())
        case "set":
            os.setxattr(path, step["name"], bytes.fromhex(step["value"]), follow_symlinks=False)
        case "remove":
            os.removexattr(path, step["name"], follow_symlinks=False)
        case "flag":
            change_flags(path, step["name"])
        case "chmod":
            os.chmod(path, step["mode"])
        case "setgid":
            os.chown(path, -1, 77)
            os.chmod(path, 0o2775)
        case "write":
            write(path, step["offset"], step["length"])
        case "rename":
            os.rename(path, step["to"])


os.chdir(sys.argv[1])
os.umask(0)
taken = []
for step in json.load(sys.stdin):
    try:
        carry_out(step)
        taken.append(True)
    except OSError as error:
        print(f"{step}: {error}", file=sys.stderr)
        taken.append(False)
print(json.dumps(taken))
