#!/usr/bin/env python3
"""Asks the kernel, as a user without rights, which UDP socket a datagram would come to (net/ipv4/udp_diag.c, udp_dump_one).

sock_diag.py REMOTE-ADDRESS REMOTE-PORT ADDRESS PORT COUNT     Prints the port that the socket is bound to, or the errno.
"""
import errno
import os
import socket
import struct
import sys

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, NLMSG_ERROR = 4, 20, 1, 2
NOBODY = 65534

remote, remote_port, local, local_port, count = sys.argv[1:]
os.setgid(NOBODY)
os.setuid(NOBODY)
family = socket.AF_INET6 if ":" in local else socket.AF_INET
# "src and dst are swapped for historical reasons" (udp_dump_one)
identity = struct.pack("!HH", int(remote_port), int(local_port))
identity += b"".join(socket.inet_pton(family, address).ljust(16, b"\0") for address in (remote, local))
identity += struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
body = struct.pack("=BBBBI", family, socket.IPPROTO_UDP, 0, 0, 0xFFFFFFFF) + identity
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG)
for number in range(int(count)):
    netlink.send(struct.pack("=IHHII", 16 + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, number, 0) + body)
    answer = netlink.recv(65536)
kind = struct.unpack_from("=H", answer, 4)[0]
if kind == NLMSG_ERROR:
    print(errno.errorcode[-struct.unpack_from("=i", answer, 16)[0]])
else:
    # struct inet_diag_msg: family, state, timer, retrans, then the ports
    print(struct.unpack_from("!H", answer, 20)[0])
