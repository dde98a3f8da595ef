#!/usr/bin/env python3
"""Carries out a history on a mounted btrfs: JSON lines of operations.ts on stdin.

apply.py [--lenient] TOP

Stops at the first operation that fails, and prints which (exit 1). With --lenient, goes on and prints how many failed: for
histories out of which operations were taken.
"""

import hashlib
import json
import os
import subprocess
import sys
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import calls  # noqa: E402

FS_IOC_GETFLAGS = 0x80086601
FS_IOC_SETFLAGS = 0x40086602
FS_NOCOW_FL = 0x00800000


def repeated(line, length):
    return (line * (length // len(line) + 1))[:length]


def noise(seed, length):
    return hashlib.shake_128(str(seed).encode()).digest(length)


def fill_bytes(fill, length):
    kind, seed = fill["kind"], fill["seed"]
    if kind == "zero":
        return bytes(length)
    if kind == "text":
        return repeated(b"history %d: the quick brown fox jumps over the lazy dog\n" % seed, length)
    if kind == "noise":
        return noise(seed, length)
    out, random = bytearray(repeated(b"mixed %d " % seed, length)), noise(seed, length)
    for at in range(0, length, 2048):
        out[at : at + 1024] = random[at : at + 1024]
    return bytes(out)


def pwrite(path, data, offset):
    descriptor = os.open(path, os.O_WRONLY)
    try:
        while data:
            done = os.pwrite(descriptor, data, offset)
            data, offset = data[done:], offset + done
    finally:
        os.close(descriptor)


def set_nodatacow(path):
    import array
    import fcntl

    descriptor = os.open(path, os.O_RDONLY)
    try:
        flags = array.array("l", [0])
        fcntl.ioctl(descriptor, FS_IOC_GETFLAGS, flags)
        flags[0] |= FS_NOCOW_FL
        fcntl.ioctl(descriptor, FS_IOC_SETFLAGS, flags)
    finally:
        os.close(descriptor)


def remount(step):
    name = "compress-force" if step["force"] else "compress"
    value = "no" if step["algorithm"] == "none" else step["algorithm"]
    # "compress=no" also ends an earlier force.
    option = "compress=no" if value == "no" else f"{name}={value}"
    subprocess.run(["mount", "-o", f"remount,{option}", os.getcwd()], check=True)


def encoded_write(path, step):
    data = zlib.compress(fill_bytes(step["fill"], step["unencodedLength"]))
    calls.encoded_write(
        path, step["offset"], step["length"], data, step["unencodedLength"], step["unencodedOffset"], "zlib"
    )


def set_xattr(path, step):
    os.setxattr(path, step["name"].encode("latin-1"), bytes.fromhex(step["value"]), follow_symlinks=False)


def keep(step):
    return calls.FALLOC_KEEP_SIZE if step["keepSize"] else 0


# Each takes the path and the step; `other` gives another path of the step as bytes.
STEPS = {
    "subvolume": lambda path, step: calls.create_subvolume(path),
    "snapshot": lambda path, step: calls.snapshot(other(step, "source"), path, step["readOnly"]),
    "create": lambda path, step: os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)),
    "mkdir": lambda path, step: os.mkdir(path, 0o755),
    "symlink": lambda path, step: os.symlink(other(step, "target"), path),
    "mknod": lambda path, step: os.mknod(path, step["mode"], os.makedev(step["major"], step["minor"])),
    "link": lambda path, step: os.link(other(step, "from"), path, follow_symlinks=False),
    "rename": lambda path, step: os.rename(other(step, "from"), path),
    "exchange": lambda path, step: calls.exchange(other(step, "from"), path),
    "unlink": lambda path, step: os.unlink(path),
    "rmdir": lambda path, step: os.rmdir(path),
    "write": lambda path, step: pwrite(path, fill_bytes(step["fill"], step["length"]), step["offset"]),
    "encodedWrite": encoded_write,
    "truncate": lambda path, step: os.truncate(path, step["size"]),
    "punch": lambda path, step: calls.fallocate(
        path, calls.FALLOC_PUNCH_HOLE | calls.FALLOC_KEEP_SIZE, step["offset"], step["length"]
    ),
    "prealloc": lambda path, step: calls.fallocate(path, keep(step), step["offset"], step["length"]),
    "zeroRange": lambda path, step: calls.fallocate(
        path, calls.FALLOC_ZERO_RANGE | keep(step), step["offset"], step["length"]
    ),
    "clone": lambda path, step: calls.clone_range(
        other(step, "from"), step["fromOffset"], step["length"], path, step["offset"]
    ),
    "setXattr": set_xattr,
    "removeXattr": lambda path, step: os.removexattr(path, step["name"].encode("latin-1"), follow_symlinks=False),
    "chmod": lambda path, step: os.chmod(path, step["mode"]),
    "chown": lambda path, step: os.lchown(path, step["uid"], step["gid"]),
    "utimes": lambda path, step: os.utime(
        path, ns=(int(step["atime"]), int(step["mtime"])), follow_symlinks=False
    ),
    "compress": lambda path, step: os.setxattr(path, b"btrfs.compression", step["algorithm"].encode()),
    "remount": lambda path, step: remount(step),
    "nodatacow": lambda path, step: set_nodatacow(path),
    "sync": lambda path, step: calls.syncfs(b"."),
}


def other(step, field):
    return step[field].encode("latin-1")


def main():
    lenient = "--lenient" in sys.argv[1:]
    os.chdir(sys.argv[-1])
    os.umask(0o022)
    failed = 0
    for index, line in enumerate(sys.stdin):
        step = json.loads(line)
        try:
            STEPS[step["op"]](step.get("path", "").encode("latin-1"), step)
        except OSError as error:
            failed += 1
            if not lenient:
                sys.exit(f"Cannot apply operation {index}: {error}: {line[:500]}")
    print(failed)


main()
