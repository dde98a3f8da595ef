#!/usr/bin/env python3
"""Asks others what they make of compressed data. One JSON request a line on stdin, one JSON answer a line on stdout;
bytes are base64.

codec_oracle.py lzo1x              liblzo2: {"op": "compress" | "compress999", "data"} -> {"data"}
                                            {"op": "decompress", "data", "capacity"} -> {"result", "data"}
codec_oracle.py kernel DIRECTORY   a mounted btrfs: {"algorithm", "data", "length"} -> {"data"} or {"errno"}; the data is
                                   stored by encoded write, and read back by read(2) from a cold cache
"""

import base64
import ctypes
import errno
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import calls  # noqa: E402

WORK_BYTES = 1 << 20


def plain(text):
    return base64.b64decode(text)


def coded(data):
    return base64.b64encode(data).decode()


class Lzo:
    def __init__(self):
        self.library = ctypes.CDLL("liblzo2.so.2")
        self.work = ctypes.create_string_buffer(WORK_BYTES)

    def answer(self, request):
        data = plain(request["data"])
        if request["op"] == "decompress":
            capacity = request["capacity"]
            target = ctypes.create_string_buffer(capacity + 1)
            length = ctypes.c_ulong(capacity)
            result = self.library.lzo1x_decompress_safe(
                data, ctypes.c_ulong(len(data)), target, ctypes.byref(length), None
            )
            return {"result": result, "data": coded(target.raw[: length.value])}
        name = {"compress": "lzo1x_1_compress", "compress999": "lzo1x_999_compress"}[request["op"]]
        target = ctypes.create_string_buffer(len(data) + len(data) // 16 + 128)
        length = ctypes.c_ulong(len(target))
        getattr(self.library, name)(data, ctypes.c_ulong(len(data)), target, ctypes.byref(length), self.work)
        return {"data": coded(target.raw[: length.value])}


class Kernel:
    """Stores all requests, then drops the cache once, then reads all."""

    def __init__(self, directory):
        self.directory = directory

    def answers(self, requests):
        paths = []
        for name in os.listdir(self.directory):
            os.unlink(os.path.join(self.directory, name))
        for number, request in enumerate(requests):
            path = os.path.join(self.directory, str(number))
            paths.append(path)
            length = request["length"]
            calls.encoded_write(path, 0, length, plain(request["data"]), length, 0, request["algorithm"])
        os.sync()
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("3\n")
        for path in paths:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                data = b""
                size = os.fstat(descriptor).st_size
                while len(data) < size:
                    piece = os.pread(descriptor, size - len(data), len(data))
                    if not piece:
                        break
                    data += piece
                yield {"data": coded(data)}
            except OSError as error:
                yield {"errno": errno.errorcode[error.errno]}
            finally:
                os.close(descriptor)
                os.unlink(path)


def main():
    requests = [json.loads(line) for line in sys.stdin]
    if sys.argv[1] == "lzo1x":
        lzo = Lzo()
        answers = (lzo.answer(request) for request in requests)
    else:
        answers = Kernel(sys.argv[2]).answers(requests)
    for answer in answers:
        print(json.dumps(answer))


main()
