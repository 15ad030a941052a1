#!/usr/bin/env python3
"""Stands in for systemd: prints what a service says with sd_notify, one variable per line. notify.py SOCKET"""
import socket
import sys

with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
    sock.bind(sys.argv[1])
    print("listening", flush=True)
    while True:
        print(sock.recv(65536).decode(), flush=True)
