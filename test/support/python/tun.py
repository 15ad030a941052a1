#!/usr/bin/env python3
"""A cable between two tun devices, which have no Ethernet header: tun.py NAME NETNS NETNS

Each packet is carried with its virtio header, so a checksum or a segmentation that was left to the device stays so on the
other side; `ethtool -K NAME tx off` turns that off.
"""
import ctypes
import errno
import fcntl
import os
import select
import struct
import sys

CLONE_NEWNET = 0x40000000
TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 1, 0x1000, 0x4000
CSUM, USO4, USO6 = 1, 0x20, 0x40
libc = ctypes.CDLL(None, use_errno=True)


def open_tun(name, netns):
    with open(netns) as target:
        if libc.setns(target.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(device, TUNSETOFFLOAD, CSUM | USO4 | USO6)
    return device


left, right = (open_tun(sys.argv[1], netns) for netns in sys.argv[2:4])
print("connected", flush=True)
other = {left: right, right: left}
while True:
    for end in select.select([left, right], [], [])[0]:
        packet = os.read(end, 70000)
        try:
            os.write(other[end], packet)
        except OSError as error:
            if error.errno != errno.EIO:  # the other end is down
                raise
