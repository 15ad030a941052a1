#!/usr/bin/env python3
"""Sends packets that no socket makes, as IP on an interface: crafted.py DEVICE THEIR-MAC, and on its input a line of JSON, a list of

{"from": [address, port], "to": [address, port], "size": bytes of UDP payload, and maybe
 "headers": a number of IPv6 destination options headers, "atomic": true for a fragment header of a whole datagram (RFC 6946),
 "only": [offset, bytes]: one fragment of it, and no other}
or {"from", "to", "error": [type, code], "about": {"from", "to"}}: an ICMP error from one address to the other about a datagram;
or {"from", "to", "sequence": number}: a SYN of TCP.
"""
import json
import socket
import struct
import sys

TCP, UDP, DESTINATION, FRAGMENT, ICMP, ICMP6 = 6, 17, 60, 44, 1, 58
SYN = 2


def checksum(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def binary(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def pseudo(packet, length, protocol):
    return binary(packet["from"][0]) + binary(packet["to"][0]) + struct.pack("!II", length, protocol)


def udp(packet):
    payload = bytes(i * 7 & 0xFF for i in range(packet.get("size", 5)))
    header = struct.pack("!HHH", packet["from"][1], packet["to"][1], 8 + len(payload))
    check = checksum(pseudo(packet, 8 + len(payload), UDP) + header + b"\0\0" + payload) or 0xFFFF
    return header + struct.pack("!H", check) + payload


def syn(packet):
    """With the largest segment as its only option."""
    header = struct.pack("!HHIIBBH", packet["from"][1], packet["to"][1], packet["sequence"], 0, 6 << 4, SYN, 65535)
    option = struct.pack("!BBH", 2, 4, 1400)
    check = checksum(pseudo(packet, 24, TCP) + header + bytes(4) + option)
    return header + struct.pack("!HH", check, 0) + option


def ip(packet, protocol, body, offset=0, more=False):
    """`offset` and `more`: of a fragment."""
    source, destination = binary(packet["from"][0]), binary(packet["to"][0])
    if len(source) == 4:
        head = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(body), 77, offset >> 3 | more << 13, 64, protocol)
        return head + struct.pack("!H", checksum(head + b"\0\0" + source + destination)) + source + destination + body
    if offset or more or packet.get("atomic"):
        body = struct.pack("!BBHI", protocol, 0, offset | more, 77) + body
        protocol = FRAGMENT
    for _ in range(packet.get("headers", 0)):
        body = struct.pack("!BBBB", protocol, 0, 1, 4) + bytes(4) + body
        protocol = DESTINATION
    return struct.pack("!IHBB", 6 << 28, len(body), protocol, 64) + source + destination + body


def build(packet):
    if "error" in packet:
        inner = ip(packet["about"], UDP, udp(packet["about"]))
        kind = struct.pack("!BB", *packet["error"])
        v6 = ":" in packet["from"][0]
        rest = bytes(4) + inner
        check = checksum((pseudo(packet, 4 + len(rest), ICMP6) if v6 else b"") + kind + b"\0\0" + rest)
        return ip(packet, ICMP6 if v6 else ICMP, kind + struct.pack("!H", check) + rest)
    if "sequence" in packet:
        return ip(packet, TCP, syn(packet))
    body = udp(packet)
    if "only" not in packet:
        return ip(packet, UDP, body)
    offset, length = packet["only"]
    return ip(packet, UDP, body[offset : offset + length], offset, offset + length < len(body))


device, their = sys.argv[1:]
with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as raw:
    for one in json.loads(sys.stdin.readline()):
        protocol = 0x86DD if ":" in one["from"][0] else 0x0800
        raw.sendto(build(one), (device, protocol, 0, 0, bytes.fromhex(their.replace(":", ""))))
