#!/usr/bin/env python3
"""Sends one UDP datagram in an Ethernet frame with a VLAN tag, and waits for a plain answer.

frame.py DEVICE OWN-MAC THEIR-MAC SOURCE DESTINATION PORT VLAN-ID      IPv4. Prints the answer, or nothing.
"""
import socket
import struct
import sys

device, own, their, source, destination, port, vlan = sys.argv[1:]


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


answers = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
answers.bind((source, 0))
answers.settimeout(0.5)
addresses = socket.inet_aton(source) + socket.inet_aton(destination)
payload = b"hello"
udp = struct.pack("!HHHH", answers.getsockname()[1], int(port), 8 + len(payload), 0) + payload
header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + addresses
header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
ethernet = bytes.fromhex(their.replace(":", "")) + bytes.fromhex(own.replace(":", ""))
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
    raw.bind((device, 0))
    raw.send(ethernet + struct.pack("!HHH", 0x8100, int(vlan), 0x0800) + header + udp)
try:
    print(answers.recv(65535).decode())
except socket.timeout:
    pass
