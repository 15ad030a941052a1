#!/usr/bin/env python3
"""What the machine's own system calls cost, for `make bench`. Prints one line of JSON, then, for `hold`, waits.

sockets.py cycle TCP|UDP COUNT      nanoseconds of bind+listen (or bind), and of close, as medians of rounds
sockets.py connect COUNT            nanoseconds of connect() and close() of a UDP socket
sockets.py bind TCP|UDP COUNT ADDRESS PORT UID   nanoseconds of bind() and of listen() as that user, also when they are refused
sockets.py talk TCP|UDP COUNT LISTEN DIAL PORT UID   nanoseconds of a connection, or of a request and its reply
sockets.py hold COUNT               that many TCP listeners on 127.1.0.0/16, until standard input ends
sockets.py gap tcp|udp COUNT LISTEN DIAL PORT   from the return of listen()/bind() to the first connection or datagram
"""
import json
import os
import resource
import socket
import statistics
import sys
import time

now = time.perf_counter_ns


def cycle(kind, count):
    stream = kind == "TCP"
    opened, closed = [], []
    for i in range(count):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
        address = (f"127.2.{i >> 8 & 255}.{i & 255}", 7000)
        start = now()
        sock.bind(address)
        if stream:
            sock.listen(16)
        middle = now()
        sock.close()
        opened.append(middle - start)
        closed.append(now() - middle)
    return {"open": statistics.median(opened), "close": statistics.median(closed)}


def bind(kind, count, address, port, uid):
    stream = kind == "TCP"
    os.setresuid(uid, uid, uid)
    bound, listening = [], []
    for _ in range(count):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM) as sock:
            start = now()
            try:
                sock.bind((address, port))
            except OSError:
                bound.append(now() - start)
                continue
            bound.append(now() - start)
            if stream:
                start = now()
                sock.listen(16)
                listening.append(now() - start)
    return {"bind": statistics.median(bound), "listen": statistics.median(listening) if listening else 0}


def talk(kind, count, listen, dial, port, uid):
    stream = kind == "TCP"
    os.setresuid(uid, uid, uid)
    family = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
    took = []
    with socket.socket(socket.AF_INET, family) as daemon, socket.socket(socket.AF_INET, family) as client:
        daemon.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        daemon.bind((listen, port))
        if stream:
            daemon.listen(16)
        else:
            client.connect((dial, port))
        for _ in range(count):
            start = now()
            if stream:
                with socket.socket() as connection:
                    connection.connect((dial, port))
                    daemon.accept()[0].close()
            else:
                client.send(b"x")
                daemon.sendto(b"x", daemon.recvfrom(16)[1])
                client.recv(16)
            took.append(now() - start)
    return {"talk": statistics.median(took)}


def connect(count):
    took = []
    for _ in range(count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            start = now()
            sock.connect(("127.0.0.1", 9))
            took.append(now() - start)
    return {"connect": statistics.median(took)}


PER_PROCESS = 10_000


def hold(count):
    """In several processes: not everybody may raise the limit of descriptors."""
    soft = min(PER_PROCESS + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    reader, writer = os.pipe()
    starts = range(0, count, PER_PROCESS)
    for start in starts:
        if os.fork() == 0:
            held = []
            for i in range(start, min(start + PER_PROCESS, count)):
                sock = socket.socket()
                sock.bind((f"127.1.{i >> 8 & 255}.{i & 255}", 7000))
                sock.listen(1)
                held.append(sock)
            os.write(writer, b"x")
            sys.stdin.read()
            os._exit(0)
    for _ in starts:
        os.read(reader, 1)
    print(json.dumps({"held": count}), flush=True)
    sys.stdin.read()
    for _ in starts:
        os.wait()


def gap(kind, count, listen, dial, port):
    """A gap is what lies between the return and the answer of the first try; tries that reached no daemon are told apart."""
    gaps, lost = [], 0
    stream = kind == "tcp"
    family = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
    for _ in range(count):
        client = socket.socket(socket.AF_INET, family)
        client.settimeout(1)
        daemon = socket.socket(socket.AF_INET, family)
        daemon.settimeout(0.02)
        daemon.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not stream:
            client.connect((dial, port))
        daemon.bind((listen, port))
        if stream:
            daemon.listen(16)
        start = now()
        while True:
            try:
                if stream:
                    client.connect((dial, port))
                    daemon.accept()[0].close()
                else:
                    client.send(b"x")
                    daemon.recv(16)
                break
            except OSError:
                lost += 1
        gaps.append((now() - start) / 1000)
        client.close()
        daemon.close()
    gaps.sort()
    at = lambda share: gaps[min(len(gaps) - 1, int(len(gaps) * share))]
    return {"p50": at(0.5), "p99": at(0.99), "max": gaps[-1], "lost": lost}


mode, *rest = sys.argv[1:]
if mode == "cycle":
    result = cycle(rest[0], int(rest[1]))
elif mode == "connect":
    result = connect(int(rest[0]))
elif mode == "bind":
    result = bind(rest[0], int(rest[1]), rest[2], int(rest[3]), int(rest[4]))
elif mode == "talk":
    result = talk(rest[0], int(rest[1]), rest[2], rest[3], int(rest[4]), int(rest[5]))
elif mode == "gap":
    result = gap(rest[0], int(rest[1]), rest[2], rest[3], int(rest[4]))
else:
    hold(int(rest[0]))
    sys.exit()
print(json.dumps(result))
