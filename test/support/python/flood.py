"""flood.py ADDRESS PORT COUNT: sends so many datagrams as fast as it can, from one socket."""
import socket
import sys

address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
# Bound and not connected: a refusal that comes back is nobody's.
sender.bind(("", 0))
for _ in range(count):
    sender.sendto(b"x", (address, port))
