#!/usr/bin/env python3
"""Prints every datagram to a port on the wildcard address, also of groups that it joins. cast.py PORT DEVICE GROUP..."""
import socket
import struct
import sys

port, device, groups = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("::", port))
index = socket.if_nametoindex(device)
for group in groups:
    if ":" in group:
        member = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
    else:
        member = socket.inet_aton(group) + struct.pack("=4xi", index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
print("joined", flush=True)
while True:
    data, _ = sock.recvfrom(2048)
    print(f"got {data.decode()}", flush=True)
