#!/usr/bin/env python3
"""Holds UDP sockets on one address and port, for who cannot wait for an event: REQUESTS and REPLIES are named pipes.

Each line of REQUESTS is "open NAME", "connect NAME" or "close NAME"; "done" is written to REPLIES when it is.
"""
import socket
import sys

requests, replies, address, port = sys.argv[1:5]
held = {}
print("holding", flush=True)
while True:
    with open(requests) as lines:
        for line in lines:
            what, name = line.split()
            if what == "close":
                held.pop(name).close()
            elif what == "connect":
                held[name].connect((address, 9))
            else:
                held[name] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                held[name].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                held[name].bind((address, int(port)))
    with open(replies, "w") as reply:
        reply.write("done\n")
