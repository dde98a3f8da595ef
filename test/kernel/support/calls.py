"""Linux and btrfs calls that Python lacks, for making test data. Structures and numbers: linux/btrfs.h, linux/fs.h."""

import ctypes
import errno
import fcntl
import os
import struct

FICLONERANGE = 0x4020940D
BTRFS_IOC_SUBVOL_CREATE = 0x5000940E
BTRFS_IOC_SNAP_DESTROY = 0x5000940F
BTRFS_IOC_SNAP_CREATE_V2 = 0x50009417
BTRFS_IOC_ENCODED_READ = 0x80809440
BTRFS_IOC_ENCODED_WRITE = 0x40809440
BTRFS_IOC_ENCODED_READ = 0x80809440
BTRFS_SUBVOL_RDONLY = 2

FALLOC_KEEP_SIZE = 1
FALLOC_PUNCH_HOLE = 2
FALLOC_ZERO_RANGE = 16

ENCODED_COMPRESSION = {"zlib": 1, "zstd": 2, "lzo": 3}

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def fallocate(path, mode, offset, length):
    descriptor = os.open(path, os.O_RDWR)
    try:
        _checked(
            _libc.fallocate(descriptor, mode, ctypes.c_longlong(offset), ctypes.c_longlong(length)),
            "fallocate",
        )
    finally:
        os.close(descriptor)


def syncfs(path):
    """Commits the filesystem that `path` is on, and no other."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _checked(_libc.syncfs(descriptor), "syncfs")
    finally:
        os.close(descriptor)


def exchange(first, second):
    """Swaps two names in one step (RENAME_EXCHANGE)."""
    _checked(_libc.renameat2(-100, first, -100, second, 2), "renameat2")


def _ioctl(descriptor, request, form, *values):
    # A bytearray: Python refuses more than 1024 bytes of any other kind.
    fcntl.ioctl(descriptor, request, bytearray(struct.pack(form, *values)))


def clone_range(source, source_offset, length, target, target_offset):
    """Shares extents; length 0 means to the end of the source."""
    source_fd = os.open(source, os.O_RDONLY)
    target_fd = os.open(target, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _ioctl(target_fd, FICLONERANGE, "=qQQQ", source_fd, source_offset, length, target_offset)
    finally:
        os.close(source_fd)
        os.close(target_fd)


def _in_parent(path, call):
    parent = os.open(os.path.dirname(path) or b".", os.O_RDONLY)
    try:
        call(parent, os.path.basename(path))
    finally:
        os.close(parent)


def create_subvolume(path):
    _in_parent(path, lambda fd, name: _ioctl(fd, BTRFS_IOC_SUBVOL_CREATE, "=q4088s", 0, name))


def delete_subvolume(path):
    _in_parent(path, lambda fd, name: _ioctl(fd, BTRFS_IOC_SNAP_DESTROY, "=q4088s", 0, name))


def snapshot(source, path, read_only=True):
    source_fd = os.open(source, os.O_RDONLY)
    flags = BTRFS_SUBVOL_RDONLY if read_only else 0
    try:
        _in_parent(
            path,
            lambda fd, name: _ioctl(fd, BTRFS_IOC_SNAP_CREATE_V2, "=qQQ32x4040s", source_fd, 0, flags, name),
        )
    finally:
        os.close(source_fd)


def encoded_write(path, offset, length, data, unencoded_length, unencoded_offset, compression):
    """Writes `data`, which is compressed already, as one extent (needs root)."""
    buffer = ctypes.create_string_buffer(data, len(data))
    vector = struct.pack("=QQ", ctypes.addressof(buffer), len(data))
    vector_buffer = ctypes.create_string_buffer(vector, len(vector))
    arguments = (
        ctypes.addressof(vector_buffer),
        1,
        offset,
        0,
        length,
        unencoded_length,
        unencoded_offset,
        ENCODED_COMPRESSION[compression],
        0,
    )
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _ioctl(descriptor, BTRFS_IOC_ENCODED_WRITE, "=QQqQQQQII64x", *arguments)
    finally:
        os.close(descriptor)


def encoded_read(path, offset):
    """The stored bytes of the extent at `offset`, and what the kernel says of them (needs root)."""
    buffer = ctypes.create_string_buffer(131072)
    vector_buffer = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(buffer), len(buffer)), 16)
    form = "=QQqQQQQII64x"
    arguments = bytearray(struct.pack(form, ctypes.addressof(vector_buffer), 1, offset, 0, 0, 0, 0, 0, 0))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        count = fcntl.ioctl(descriptor, BTRFS_IOC_ENCODED_READ, arguments)
    finally:
        os.close(descriptor)
    _, _, _, _, length, unencoded_length, unencoded_offset, compression, _ = struct.unpack(form, arguments)
    names = {number: name for name, number in ENCODED_COMPRESSION.items()}
    return buffer.raw[:count], {
        "length": length,
        "unencodedLength": unencoded_length,
        "unencodedOffset": unencoded_offset,
        "algorithm": names.get(compression),
    }


def encoded_read(path, offset, size):
    """What BTRFS_IOC_ENCODED_READ answers to a buffer of `size` bytes: (fields, data), or the errno's name."""
    buffer = ctypes.create_string_buffer(size)
    vector = struct.pack("=QQ", ctypes.addressof(buffer), size)
    vector_buffer = ctypes.create_string_buffer(vector, len(vector))
    form = "=QQqQQQQII64x"
    arguments = bytearray(struct.pack(form, ctypes.addressof(vector_buffer), 1, offset, 0, 0, 0, 0, 0, 0))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        byte_length = fcntl.ioctl(descriptor, BTRFS_IOC_ENCODED_READ, arguments, True)
    except OSError as error:
        return errno.errorcode[error.errno]
    finally:
        os.close(descriptor)
    _, _, _, _, length, unencoded_length, unencoded_offset, compression, encryption = struct.unpack(form, arguments)
    fields = {
        "length": length,
        "unencodedLength": unencoded_length,
        "unencodedOffset": unencoded_offset,
        "compression": compression,
        "encryption": encryption,
    }
    return fields, buffer.raw[:byte_length]
