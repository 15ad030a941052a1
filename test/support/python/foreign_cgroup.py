#!/usr/bin/env python3
"""Attaches programs that are not ilm's to a cgroup until its input ends: HOOK,... allow|deny|clear|alone CGROUP PORT.

They are attached as systemd and others attach theirs, beside those that are there (BPF_F_ALLOW_MULTI), for both families. In this
network namespace they deny all that the hook sees, those of packets what is for the port; elsewhere nothing. `clear` is for sock_ops: it takes
away the callbacks that others have asked for. `alone` allows, and allows no other program beside itself, nor attaches where there is one: "refused".
"""
import os
import socket
import struct
import sys

from stranger import attach, bpf, load

SKB, SOCK, SOCK_OPS, SOCK_ADDR = 8, 9, 13, 18
HOOKS = {
    "sock_ops": (SOCK_OPS, [3]),
    "sock_release": (SOCK, [34]),
    "bind": (SOCK_ADDR, [8, 9]),
    "connect": (SOCK_ADDR, [10, 11]),
    "post_bind": (SOCK, [12, 13]),
    "sendmsg": (SOCK_ADDR, [14, 15]),
    "ingress": (SKB, [0]),
    "egress": (SKB, [1]),
}
BPF_PROG_ATTACH, BPF_PROG_DETACH = 8, 9
SO_NETNS_COOKIE = 71
GET_NETNS_COOKIE, SKB_LOAD_BYTES, SOCK_OPS_CB_FLAGS_SET = 122, 26, 59
TCP_LISTEN_CB = 11


def code(*instructions):
    return b"".join(struct.pack("=BBhi", *instruction) for instruction in instructions)


def immediate(register, value):
    low, high = value & 0xFFFFFFFF, value >> 32
    return struct.pack("=BBhI", 0x18, register, 0, low) + struct.pack("=BBhI", 0, 0, 0, high)


def in_this_namespace(body):
    """`body` has the context in r6; elsewhere, and behind it, the program allows."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        cookie = struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8))[0]
    return (
        code((0xBF, 6 | 1 << 4, 0, 0), (0x85, 0, 0, GET_NETNS_COOKIE))
        + immediate(1, cookie)
        + code((0x5D, 0 | 1 << 4, len(body) // 8, 0))  # if r0 != r1 goto the end
        + body
        + code((0xB7, 0, 0, 1), (0x95, 0, 0, 0))
    )


def for_port(port, verdict):
    """Of IPv4 without options and of IPv6 without extension headers: what is for the port gets the verdict."""
    return code(
        (0xBF, 6 | 1 << 4, 0, 0),
        (0x61, 7 | 6 << 4, 16, 0),  # r7 = skb->protocol
        (0xB7, 2, 0, 22),
        (0x55, 7, 1, socket.htons(0x86DD)),  # if r7 != IPv6, skip
        (0xB7, 2, 0, 42),
        (0xBF, 1 | 6 << 4, 0, 0),
        (0xBF, 3 | 10 << 4, 0, 0),
        (0x07, 3, 0, -8),
        (0xB7, 4, 0, 2),
        (0x85, 0, 0, SKB_LOAD_BYTES),
        (0x55, 0, 4, 0),  # if r0 != 0 goto the end
        (0x69, 1 | 10 << 4, -8, 0),
        (0x55, 1, 2, socket.htons(port)),
        (0xB7, 0, 0, verdict),
        (0x95, 0, 0, 0),
        (0xB7, 0, 0, 1),
        (0x95, 0, 0, 0),
    )


def program(kind, what, port, attach_type):
    denied = 0 if what == "deny" else 1
    if kind == SKB:
        return load(kind, for_port(port, denied), attach_type)
    if what == "clear":
        body = code(
            (0x61, 1 | 6 << 4, 0, 0),  # r1 = op
            (0x55, 1, 3, TCP_LISTEN_CB),
            (0xBF, 1 | 6 << 4, 0, 0),
            (0xB7, 2, 0, 0),
            (0x85, 0, 0, SOCK_OPS_CB_FLAGS_SET),
        )
    else:
        body = code((0xB7, 0, 0, denied), (0x95, 0, 0, 0))
    return load(kind, in_this_namespace(body), 0 if kind == SOCK_OPS else attach_type)


hooks, what, cgroup, port = sys.argv[1:]
alone = []
target = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
for hook in hooks.split(","):
    kind, attach_types = HOOKS[hook]
    for attach_type in attach_types:
        loaded = program(kind, what, int(port), attach_type)
        if what == "alone":
            try:
                bpf(BPF_PROG_ATTACH, struct.pack("=IIII", target, loaded, attach_type, 0))
            except PermissionError:
                print("refused", flush=True)
                sys.exit()
            alone.append((loaded, attach_type))
        else:
            attach(loaded, target, attach_type)
print("attached", flush=True)
sys.stdin.read()
for loaded, attach_type in alone:
    bpf(BPF_PROG_DETACH, struct.pack("=IIII", target, loaded, attach_type, 0))
