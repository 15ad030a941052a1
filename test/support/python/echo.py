#!/usr/bin/env python3
"""A daemon whose every answer is one line of JSON: who it is, who asked, and what getsockname() says.

echo.py --tag NAME [--v6only] [--reuseport] LISTEN...    LISTEN: tcp:ADDRESS:PORT or udp:ADDRESS:PORT, IPv6 in brackets.
Prints one line of JSON when all of them listen, and exits at the end of its input with --until-eof.
"""
import argparse
import json
import re
import selectors
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
    connection, peer = listener.accept()
    line = json.dumps({"tag": tag, "peer": name(peer), "local": name(connection.getsockname())})
    try:
        connection.sendall(line.encode() + b"\n")
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the client left first
    connection.close()


def answer_udp(sock, tag):
    try:
        data, peer = sock.recvfrom(65535)
    except OSError:
        return  # an ICMP error of an earlier answer
    line = json.dumps(
        {"tag": tag, "peer": name(peer), "local": name(sock.getsockname()), "data": data.decode(errors="replace")}
    )
    try:
        sock.sendto(line.encode() + b"\n", peer)
    except OSError as error:
        print(f"sendto {peer}: {error}", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tag", required=True)
    parser.add_argument("--v6only", action="store_true")
    parser.add_argument("--reuseport", action="store_true")
    parser.add_argument("--until-eof", action="store_true")
    parser.add_argument("listen", nargs="+")
    options = parser.parse_args()
    selector = selectors.DefaultSelector()
    ready = []
    for text in options.listen:
        protocol, address, port = parse(text)
        sock = open_socket(protocol, address, port, options)
        sock.setblocking(protocol == "tcp")
        selector.register(sock, selectors.EVENT_READ, answer_tcp if protocol == "tcp" else answer_udp)
        cookie = struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0]
        ready.append({"listen": text, "cookie": str(cookie)})
    if options.until_eof:
        selector.register(sys.stdin, selectors.EVENT_READ, None)
    print(json.dumps(ready), flush=True)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                if not sys.stdin.buffer.read1(4096):
                    return
            else:
                key.data(key.fileobj, options.tag)


if __name__ == "__main__":
    main()
