"""Ends the time of a change that waits for its confirmation, as the clock would: time_over.py FOLDER

FOLDER has what ilm has pinned for a network namespace. In the map `sides` of each of its program sets, struct ilm_sides
(bpf/abi.h), the time until which the change decides becomes one that is over. Prints how many had such a change.
"""

import ctypes
import os
import platform
import struct
import sys

BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
LOOKUP, UPDATE, GET = 1, 2, 7
SIZE = 1064
PENDING = 4
OVER_S = 1

libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attribute):
    buffer = ctypes.create_string_buffer(attribute.ljust(128, b"\0"))
    result = libc.syscall(BPF, command, buffer, len(buffer))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


found = 0
for name in os.listdir(sys.argv[1]):
    if not name.startswith("programs-"):
        continue
    path = ctypes.create_string_buffer(os.path.join(sys.argv[1], name, "sides").encode())
    fd = bpf(GET, struct.pack("QII", ctypes.addressof(path), 0, 0))
    key = ctypes.create_string_buffer(4)
    value = ctypes.create_string_buffer(SIZE)
    entry = struct.pack("IIQQQ", fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0)
    bpf(LOOKUP, entry)
    current, _ = struct.unpack_from("II", value)
    if current & PENDING:
        found += 1
        struct.pack_into("I", value, 4, OVER_S)
        bpf(UPDATE, entry)
    os.close(fd)
print(found)
