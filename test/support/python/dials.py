#!/usr/bin/env python3
"""Dials many daemons all the time, as their clients do, until its input ends; then prints for each how many dials were answered,
what failed, and how long the slowest one took.

dials.py NAME=KIND:ADDRESS:PORT...
Kinds: http, redis, ssh, postgres, banner (whatever is said first or back), dns (over UDP, asked again after a second as
resolvers do) and dns-tcp. IPv6 addresses are in brackets. A dial is done when the daemon's own answer has come.
"""
import json
import re
import socket
import struct
import sys
import threading
import time

TIMEOUT_S = 60
# A resolver asks again, and gives up in the end.
DNS_TRIES = 30


def query():
    return struct.pack(">HHHHHH", 4711, 0x0100, 1, 0, 0, 0) + b"\x06daemon\x04test\x00" + struct.pack(">HH", 1, 1)


def read_until(sock, pattern):
    data = b""
    while not re.search(pattern, data):
        chunk = sock.recv(65536)
        if not chunk:
            raise EOFError(f"ended after {data!r}")
        data += chunk
    return data


def dial_tcp(kind, sock):
    if kind == "http":
        sock.sendall(b"GET / HTTP/1.0\r\nHost: daemon.test\r\n\r\n")
        read_until(sock, rb"^HTTP/1\.[01] 200 ")
    elif kind == "redis":
        sock.sendall(b"PING\r\n")
        read_until(sock, rb"^\+PONG\r\n")
    elif kind == "ssh":
        read_until(sock, rb"^SSH-2\.0-")
    elif kind == "postgres":
        # SSLRequest: the answer is one byte.
        sock.sendall(struct.pack(">II", 8, 80877103))
        read_until(sock, rb"^[SN]")
    elif kind == "dns-tcp":
        message = query()
        sock.sendall(struct.pack(">H", len(message)) + message)
        read_until(sock, rb"^..\x12\x67")
    elif kind == "banner":
        read_until(sock, rb".")
    else:
        raise SystemExit(f"no such kind: {kind}")


def dial_dns(family, target):
    for _ in range(DNS_TRIES):
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            sock.connect(target)
            try:
                sock.send(query())
                if sock.recv(4096)[:2] == b"\x12\x67":
                    return
            except socket.timeout:
                pass
    raise TimeoutError("no answer to any of its tries")


def dial(kind, target):
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    if kind == "dns":
        dial_dns(family, target)
        return
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(target)
        dial_tcp(kind, sock)


def main():
    ending = threading.Event()
    results = {}

    def keep_dialling(name, kind, target):
        result = results[name] = {"answered": 0, "failed": [], "slowest_ms": 0}
        while not ending.is_set():
            begun = time.monotonic()
            try:
                dial(kind, target)
                result["answered"] += 1
            except (OSError, EOFError) as error:
                result["failed"].append(f"{type(error).__name__}: {error} after {time.monotonic() - begun:.3f} s")
            result["slowest_ms"] = max(result["slowest_ms"], round((time.monotonic() - begun) * 1000))
            ending.wait(0.02)

    threads = []
    for argument in sys.argv[1:]:
        name, kind, address, port = re.fullmatch(r"([^=]+)=([a-z-]+):\[?([0-9a-f.:]+?)\]?:(\d+)", argument).groups()
        threads.append(threading.Thread(target=keep_dialling, args=(name, kind, (address, int(port)))))
    for thread in threads:
        thread.start()
    print("dialling", flush=True)
    sys.stdin.read()
    ending.set()
    for thread in threads:
        thread.join()
    print(json.dumps(results), flush=True)


main()
