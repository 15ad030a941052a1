#!/usr/bin/env python3
"""Attaches an sk_lookup program that is not ilm's (it passes everything) to its network namespace until its input ends."""
import ctypes
import os
import platform
import struct
import sys

SYS_BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280}[platform.machine()]
BPF_PROG_LOAD, BPF_LINK_CREATE = 5, 28
BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP = 30, 36
libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, 128)
    result = libc.syscall(SYS_BPF, command, buffer, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


# r0 = SK_PASS; exit
instructions = ctypes.create_string_buffer(bytes([0xB7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]))
license_name = ctypes.create_string_buffer(b"GPL")
program = bpf(
    BPF_PROG_LOAD,
    # type, insn_cnt, insns, license, log_level, log_size, log_buf, kern_version, prog_flags, name, ifindex, attach type
    struct.pack(
        "=IIQQIIQII16sII",
        BPF_PROG_TYPE_SK_LOOKUP,
        2,
        ctypes.addressof(instructions),
        ctypes.addressof(license_name),
        0,
        0,
        0,
        0,
        0,
        b"stranger",
        0,
        BPF_SK_LOOKUP,
    ),
)
netns = os.open("/proc/self/ns/net", os.O_RDONLY)
link = bpf(BPF_LINK_CREATE, struct.pack("=IIII", program, netns, BPF_SK_LOOKUP, 0))
print("attached", flush=True)
sys.stdin.read()
