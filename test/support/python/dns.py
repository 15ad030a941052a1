#!/usr/bin/env python3
"""A name server that knows one answer: whatever is asked, 192.0.2.7. dns.py ADDRESS PORT"""
import socket
import sys

address, port = sys.argv[1], int(sys.argv[2])
sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((address, port))
print("listening", flush=True)
while True:
    query, peer = sock.recvfrom(4096)
    question_end = query.index(b"\0", 12) + 5
    header = query[:2] + b"\x84\x00" + b"\0\1\0\1\0\0\0\0"
    answer = b"\xc0\x0c" + b"\0\1\0\1" + b"\0\0\0\x3c" + b"\0\4" + bytes([192, 0, 2, 7])
    sock.sendto(header + query[12:question_end] + answer, peer)
