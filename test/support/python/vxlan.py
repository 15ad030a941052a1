"""vxlan.py FROM TO PORT VNI ASKED [udp | tcp]: asks ASKED inside VXLAN, by ARP who has it, or on port 9000; prints from where the answer came."""

import socket
import struct
import sys

source, target, port, vni, asked, *kind = sys.argv[1:]
family = socket.AF_INET6 if ":" in target else socket.AF_INET
mac = bytes.fromhex("020000000009")
own, other = socket.inet_aton("10.77.0.9"), socket.inet_aton(asked)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip4(protocol, payload):
    def header(check):
        length = 20 + len(payload)
        return struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 0, 0, 64, protocol, check, own, other)

    return struct.pack("!H", 0x0800) + header(checksum(header(0))) + payload


def tcp_syn():
    def segment(check):
        return struct.pack("!HHIIBBHHH", 9, 9000, 1, 0, 5 << 4, 2, 65535, check, 0)

    pseudo = own + other + struct.pack("!BBH", 0, 6, 20)
    return segment(checksum(pseudo + segment(0)))


if kind == ["udp"]:
    inner = ip4(17, struct.pack("!HHHH", 9, 9000, 12, 0) + b"ping")
elif kind == ["tcp"]:
    inner = ip4(6, tcp_syn())
else:
    inner = struct.pack("!HHHBBH6s4s6s4s", 0x0806, 1, 0x0800, 6, 4, 1, mac, own, bytes(6), other)
# To all for ARP; TCP takes only what is for this host alone.
frame = (b"\xff" * 6 if not kind else bytes.fromhex("020000000007")) + mac + inner
vxlan = struct.pack("!II", 0x08000000, int(vni) << 8)
with socket.socket(family, socket.SOCK_DGRAM) as client:
    # A tunnel answers to its own port.
    client.bind((source, 4789))
    client.settimeout(10)
    client.sendto(vxlan + frame, (target, int(port)))
    while True:
        got, (address, answered, *_) = client.recvfrom(2048)
        # Behind the headers of VXLAN and Ethernet: what the tunnel's end sends unasked has another source.
        addresses = got[8 + 14 + 14 : 8 + 14 + 18] if not kind else got[8 + 14 + 12 : 8 + 14 + 16]
        if addresses == other:
            break
    print(f"{address} {answered}")
