#!/usr/bin/env python3
"""A daemon whose every answer is one line of JSON: who it is, who asked, and what getsockname() says.

echo.py --tag NAME [--v6only] [--reuseport] LISTEN...    LISTEN: tcp:ADDRESS:PORT or udp:ADDRESS:PORT, IPv6 in brackets.
Prints one line of JSON when all of them listen. SIGTERM answers what has come already, and exits.
"""
import argparse
import json
import os
import re
import selectors
import signal
import socket
import struct
import sys

SO_COOKIE = 57


def parse(text):
    protocol, address, port = re.fullmatch(r"(tcp|udp):\[?([^\]]+?)\]?:(\d+)", text).groups()
    return protocol, address, int(port)


def open_socket(protocol, address, port, options):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    sock = socket.socket(family, kind)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if options.v6only else 0)
    if protocol == "tcp":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if options.reuseport:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((address, port))
    if protocol == "tcp":
        sock.listen(1024)
    return sock


def name(endpoint):
    address, port = endpoint[:2]
    return {"address": address.removeprefix("::ffff:"), "port": port}


def answer_tcp(listener, tag):
    try:
        connection, peer = listener.accept()
    except BlockingIOError:
        return False
    connection.setblocking(True)
    line = json.dumps({"tag": tag, "peer": name(peer), "local": name(connection.getsockname())})
    try:
        connection.sendall(line.encode() + b"\n")
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the client left first
    connection.close()
    return True


def answer_udp(sock, tag):
    try:
        data, peer = sock.recvfrom(65535)
    except BlockingIOError:
        return False
    except OSError:
        return True  # an ICMP error of an earlier answer
    line = json.dumps(
        {"tag": tag, "peer": name(peer), "local": name(sock.getsockname()), "data": data.decode(errors="replace")}
    )
    try:
        sock.sendto(line.encode() + b"\n", peer)
    except OSError as error:
        print(f"sendto {peer}: {error}", file=sys.stderr, flush=True)
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tag", required=True)
    parser.add_argument("--v6only", action="store_true")
    parser.add_argument("--reuseport", action="store_true")
    parser.add_argument("listen", nargs="+")
    options = parser.parse_args()
    selector = selectors.DefaultSelector()
    ready = []
    for text in options.listen:
        protocol, address, port = parse(text)
        sock = open_socket(protocol, address, port, options)
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, answer_tcp if protocol == "tcp" else answer_udp)
        cookie = struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0]
        ready.append({"listen": text, "cookie": str(cookie)})
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGTERM, lambda *_: None)
    selector.register(reader, selectors.EVENT_READ, None)
    print(json.dumps(ready), flush=True)
    running = True
    while running:
        for key, _ in selector.select():
            if key.data is None:
                running = False
            else:
                key.data(key.fileobj, options.tag)
    for key in list(selector.get_map().values()):
        if key.data is not None:
            while key.data(key.fileobj, options.tag):
                pass
            key.fileobj.close()


if __name__ == "__main__":
    main()
