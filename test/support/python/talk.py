#!/usr/bin/env python3
"""Keeps a conversation of TCP and one of UDP with a daemon, each on one socket for as long as it lasts.

talk.py listen ADDRESS PORT    the daemon, which sends back what it gets
talk.py dial ADDRESS PORT      for each line of standard input, prints what came back: "LINE tcp udp", or what failed
"""
import socket
import sys
import threading

mode, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
datagrams = socket.socket(family, socket.SOCK_DGRAM)


def serve(connection):
    with connection:
        while data := connection.recv(4096):
            connection.sendall(data)


def accept(listener):
    while True:
        threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()


def back(sock, line):
    try:
        sock.send(line.encode())
        return {line: "ok"}.get(sock.recv(4096).decode(), "other")
    except OSError as error:
        return type(error).__name__


if mode == "listen":
    listener = socket.create_server((address, port), family=family)
    threading.Thread(target=accept, args=[listener], daemon=True).start()
    datagrams.bind((address, port))
    print("ready", flush=True)
    while True:
        data, peer = datagrams.recvfrom(4096)
        datagrams.sendto(data, peer)
else:
    stream = socket.create_connection((address, port), timeout=5)
    datagrams.settimeout(5)
    datagrams.connect((address, port))
    print("ready", flush=True)
    for text in sys.stdin:
        line = text.strip()
        print(line, *[f"{name}={back(sock, line)}" for name, sock in (("tcp", stream), ("udp", datagrams))], flush=True)
