#!/usr/bin/env python3
"""Sends datagrams to broadcast and multicast addresses, each holding its address. shout.py PORT DEVICE ADDRESS..."""
import socket
import struct
import sys

port, device, addresses = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
index = socket.if_nametoindex(device)
for address in addresses:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        if ":" in address:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=8xi", index))
        sock.sendto(address.encode(), (address, port))
