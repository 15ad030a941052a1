#!/usr/bin/env python3
"""Asks the kernel, as a user without rights, which socket a packet would come to (net/ipv4/udp_diag.c, udp_dump_one;
net/ipv4/inet_diag.c, inet_diag_find_one_icsk).

sock_diag.py tcp|udp REMOTE-ADDRESS REMOTE-PORT ADDRESS PORT COUNT [INTERFACE]     Prints the port that the socket is bound to, or the errno.
"""
import errno
import os
import socket
import struct
import sys

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, NLMSG_ERROR = 4, 20, 1, 2
NOBODY = 65534

protocol, remote, remote_port, local, local_port, count, *interface = sys.argv[1:]
index = socket.if_nametoindex(interface[0]) if interface else 0
os.setgid(NOBODY)
os.setuid(NOBODY)
family = socket.AF_INET6 if ":" in local else socket.AF_INET
ends = [(local, int(local_port)), (remote, int(remote_port))]
if protocol == "udp":
    # "src and dst are swapped for historical reasons" (udp_dump_one)
    ends.reverse()
identity = struct.pack("!HH", *(port for _, port in ends))
identity += b"".join(socket.inet_pton(family, address).ljust(16, b"\0") for address, _ in ends)
identity += struct.pack("=III", index, 0xFFFFFFFF, 0xFFFFFFFF)
number = socket.IPPROTO_UDP if protocol == "udp" else socket.IPPROTO_TCP
body = struct.pack("=BBBBI", family, number, 0, 0, 0xFFFFFFFF) + identity
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
