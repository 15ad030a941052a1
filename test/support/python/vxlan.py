"""vxlan.py FROM TO PORT VNI ASKED: asks by ARP, inside VXLAN, who has ASKED; prints from where the answer came."""

import socket
import struct
import sys

source, target, port, vni, asked = sys.argv[1:]
family = socket.AF_INET6 if ":" in target else socket.AF_INET
mac = bytes.fromhex("020000000009")
arp = struct.pack(
    "!HHBBH6s4s6s4s",
    1, 0x0800, 6, 4, 1,
    mac, socket.inet_aton("10.77.0.9"), bytes(6), socket.inet_aton(asked),
)
frame = bytes.fromhex("ffffffffffff") + mac + struct.pack("!H", 0x0806) + arp
vxlan = struct.pack("!II", 0x08000000, int(vni) << 8)
with socket.socket(family, socket.SOCK_DGRAM) as client:
    # A tunnel answers to its own port.
    client.bind((source, 4789))
    client.settimeout(10)
    client.sendto(vxlan + frame, (target, int(port)))
    _, (address, answered, *_) = client.recvfrom(2048)
    print(f"{address} {answered}")
