#!/usr/bin/env python3
"""A cable between two namespaces that is made of tun devices, which have no Ethernet header. tun.py NETNS NETNS"""
import ctypes
import fcntl
import os
import select
import struct
import sys

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
libc = ctypes.CDLL(None, use_errno=True)


def open_in(netns):
    if libc.setns(os.open(netns, os.O_RDONLY), 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN | IFF_NO_PI))
    return device


left, right = open_in(sys.argv[1]), open_in(sys.argv[2])
print("connected", flush=True)
while True:
    for device in select.select([left, right], [], [])[0]:
        packet = os.read(device, 65536)
        try:
            os.write(right if device == left else left, packet)
        except OSError:
            pass  # the other end is not up yet
