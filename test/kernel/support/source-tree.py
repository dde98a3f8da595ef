#!/usr/bin/env python3
"""Makes a directory with everything that a file can be. source-tree.py DIRECTORY"""

import os
import random
import socket
import stat
import struct
import subprocess
import sys

root = os.fsencode(sys.argv[1])
rng = random.Random(7)


def path(*names):
    return os.path.join(root, *[name if isinstance(name, bytes) else name.encode() for name in names])


def put(name, data, mode=0o644):
    with open(name, "wb") as file:
        file.write(data)
    os.chmod(name, mode)


def words(count):
    return b" ".join(rng.choice([b"lorem", b"ipsum", b"dolor", b"sit", b"amet"]) for _ in range(count))


os.mkdir(path("sizes"))
for size in [0, 1, 2, 100, 2047, 2048, 2049, 4095, 4096, 4097, 8192, 65536, 131071, 131072, 131073, 300001]:
    put(path("sizes", f"random-{size}"), rng.randbytes(size))
    put(path("sizes", f"text-{size}"), words(size // 3 + 1)[:size])
    put(path("sizes", f"zeros-{size}"), bytes(size))
put(path("sizes", "large-random"), rng.randbytes(9 << 20))
put(path("sizes", "large-text"), words(3_000_000))
put(path("sizes", "mixed"), b"".join(words(40_000) + rng.randbytes(200_000) + bytes(50_000) for _ in range(20)))

os.mkdir(path("holes"))
with open(path("holes", "sparse"), "wb") as file:
    for offset in (0, 5 << 20, (5 << 20) + 8192, 40 << 20, (3 << 30) + 4096):
        file.seek(offset)
        file.write(rng.randbytes(4096 + (offset == 0) * 200_000))
    file.truncate((4 << 30) + 123)
for name, size in (("all", 1 << 30), ("small", 5000), ("odd", (64 << 20) + 1)):
    put(path("holes", name), b"")
    os.truncate(path("holes", name), size)
with open(path("holes", "alternating"), "wb") as file:
    for block in range(400):
        file.seek(block * 8192)
        file.write(rng.randbytes(4096))
with open(path("holes", "behind"), "wb") as file:
    file.write(words(200))
    file.truncate(1 << 20)

os.mkdir(path("names"))
put(path("names", b"\xff\xfe not utf-8 \x80"), b"bytes")
put(path("names", "n" * 255), b"longest")
put(path("names", "new\nline"), b"newline")
put(path("names", "blank "), b"blank")
os.mkdir(path("many"))
for number in range(3000):
    put(path("many", f"{number}"), f"file {number}".encode())

os.mkdir(path("links"))
put(path("links", "first"), words(2000))
for number in range(300):
    os.link(path("links", "first"), path("links", f"name-of-some-length-for-a-full-item-{number:04}"))
os.link(path("links", "first"), path("above"))
put(path("links", "two"), b"two")
os.mkdir(path("links", "deeper"))
os.link(path("links", "two"), path("links", "deeper", "two"))
os.symlink(b"../names/\xff", path("links", "symlink"))
os.link(path("links", "symlink"), path("links", "symlink-again"), follow_symlinks=False)
os.symlink("x" * 3900, path("links", "long"))

os.mkdir(path("kinds"))
os.mkfifo(path("kinds", "fifo"), 0o640)
os.mknod(path("kinds", "null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
os.mknod(path("kinds", "disk"), stat.S_IFBLK | 0o660, os.makedev(259, 70000))
unix = socket.socket(socket.AF_UNIX)
os.chdir(path("kinds"))
unix.bind("socket")
put(path("kinds", "setuid"), b"#!/bin/sh\n", 0o4755)
put(path("kinds", "owned"), b"mine")
os.chown(path("kinds", "owned"), 12345, 4_000_000_000)
os.mkdir(path("kinds", "sticky"))
os.chmod(path("kinds", "sticky"), 0o3777)
put(path("kinds", "old"), b"before 1970")
os.utime(path("kinds", "old"), ns=(-123_456_789_987_654_321, -1))
put(path("kinds", "future"), b"behind 2038")
os.utime(path("kinds", "future"), ns=(5_000_000_000_123_456_789, 5_000_000_000_000_000_001))
os.chmod(path("kinds", "fifo"), 0o604)

os.mkdir(path("attributes"))
for name in ("file", "more"):
    put(path("attributes", name), words(50))
for number in range(40):
    os.setxattr(path("attributes", "more"), f"user.number-{number}", rng.randbytes(number))
os.setxattr(path("attributes", "file"), "user.empty", b"")
os.setxattr(path("attributes", "file"), "user.large", rng.randbytes(1500))
os.setxattr(path("attributes", "file"), "trusted.mine", b"trusted")
os.setxattr(path("attributes", "file"), "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))
os.setxattr(path("attributes"), "user.directory", b"too")
os.setxattr(path("kinds", "null"), "trusted.device", b"too")
acl = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry) for entry in [(1, 6, 0xFFFFFFFF), (2, 4, 1000), (4, 4, 0xFFFFFFFF), (16, 6, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF)]
)
os.setxattr(path("attributes", "file"), "system.posix_acl_access", acl)
os.setxattr(path("attributes"), "system.posix_acl_default", acl)

os.mkdir(path("twins"))
same = words(9000)
for number in range(300):
    put(path("twins", f"{number}"), same)
put(path("twins", "other"), same[:-1] + b"!")
for name in ("large-1", "large-2"):
    put(path("twins", name), same * 300)
    os.truncate(path("twins", name), 40 << 20)

deep = path("deep")
for level in range(40):
    os.mkdir(deep)
    put(os.path.join(deep, b"file"), f"level {level}".encode())
    deep = os.path.join(deep, b"a directory of some length")
os.mkdir(path("empty"))
os.utime(path("empty"), ns=(1_000_000_000_000_000_001, 1_000_000_000_000_000_002))

