#!/usr/bin/env python3
"""Holds a packet socket, as keepalived or a DHCP client does, until its input ends: PROTOCOL [INTERFACE]."""
import socket
import sys

protocol = int(sys.argv[1], 0)
holder = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
if len(sys.argv) > 2:
    holder.bind((sys.argv[2], protocol))
print("open", flush=True)
sys.stdin.read()
