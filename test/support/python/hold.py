#!/usr/bin/env python3
"""Keeps TCP connections open until standard input ends: dials them, or accepts them and closes each when its client does.

hold.py listen ADDRESS PORT
hold.py dial ADDRESS PORT COUNT

Says "ready" once it listens, or all are connected.
"""
import socket
import sys
import threading

mode, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
kept = []


def serve(connection):
    with connection:
        connection.recv(1)


def accept(listener):
    while True:
        connection = listener.accept()[0]
        threading.Thread(target=serve, args=[connection], daemon=True).start()


if mode == "listen":
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.create_server((address, port), family=family, backlog=1024)
    threading.Thread(target=accept, args=[server], daemon=True).start()
else:
    for _ in range(int(sys.argv[4])):
        kept.append(socket.create_connection((address, port), timeout=30))
print("ready", flush=True)
sys.stdin.read()
