#!/usr/bin/env python3
"""Binds a UDP socket to each of COUNT addresses of 127.0.0.0/8, one after the other, and closes it at once: what any user can do."""
import ipaddress
import socket
import sys

first = int(ipaddress.ip_address("127.1.0.0"))
for number in range(int(sys.argv[1])):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((str(ipaddress.ip_address(first + number)), 20000))
