#!/usr/bin/env python3
"""serve.py [--go] [--mptcp] NAME PORT [ADDRESS]...: answers whoever connects or sends a datagram with both ends, as Python tells them.

Without an address, and for "::", it takes both families with one socket. With --go it does as Go's programs do: 0.0.0.0 is every
address of both families, IPv4 addresses are told as such, and UDP sockets have SO_BROADCAST. With --mptcp it listens with MPTCP where
that can be had, as Go does since 1.24.
"""
import json
import socket
import sys
import threading

IPPROTO_MPTCP = 262
go, mptcp = "--go" in sys.argv, "--mptcp" in sys.argv
name, port, *addresses = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
if go:
    addresses = ["::" if address == "0.0.0.0" else address for address in addresses]


def end(endpoint):
    address = endpoint[0]
    return {"address": address.removeprefix("::ffff:") if go else address, "port": endpoint[1]}


def answer(peer, local):
    return json.dumps({"tag": name, "peer": end(peer), "local": end(local)}).encode() + b"\n"


def open_socket(family, kind, protocol, address):
    sock = socket.socket(family, kind, protocol)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    elif go:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    if address == "::":
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind((address, int(port)))
    return sock


def open_listener(family, address):
    try:
        listener = open_socket(family, socket.SOCK_STREAM, IPPROTO_MPTCP if mptcp else 0, address)
    except OSError:
        if not mptcp:
            raise
        listener = open_socket(family, socket.SOCK_STREAM, 0, address)
    listener.listen(128)
    return listener


def connections(listener):
    while True:
        connection, peer = listener.accept()
        with connection:
            connection.sendall(answer(peer, connection.getsockname()))


def datagrams(sock):
    while True:
        _, peer = sock.recvfrom(2048)
        sock.sendto(answer(peer, sock.getsockname()), peer)


for address in addresses or ["::"]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    threading.Thread(target=connections, args=[open_listener(family, address)]).start()
    threading.Thread(target=datagrams, args=[open_socket(family, socket.SOCK_DGRAM, 0, address)]).start()
print("listening", flush=True)
