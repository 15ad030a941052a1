#!/usr/bin/env python3
"""One side of a race for what comes to an endpoint: again and again it gets itself a socket there, answers who comes, closes it.

race.py take WAY tcp|mptcp|udp ADDRESS PORT TAG TRIES [until-won] [PROCS...]
race.py dial tcp|mptcp|udp ADDRESS PORT TAG

WAY: bind, reuse (bind with SO_REUSEADDR, and SO_REUSEPORT), late (no bind(): listen() or a datagram gives a port),
reconnect (bind, connect, disconnect, for UDP). TRIES 0: until standard input ends, as `dial` does,
which also waits until TAG has answered once. PROCS: files of cgroups
into which the process moves itself by turns. Prints JSON: {"tries", "opened", "refused": {errno: n}, "won"}, or how often each
tag and each errno came.
"""
import collections
import ctypes
import errno
import json
import os
import select
import socket
import struct
import sys
import time

IPPROTO_MPTCP = 262
UNSPECIFIED = struct.pack("=H14x", socket.AF_UNSPEC)
# Long enough for a client to find it, and short enough for a hundred thousand.
WAIT_S = 0.0002
libc = ctypes.CDLL(None, use_errno=True)


def make(kind, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if kind == "udp":
        return socket.socket(family, socket.SOCK_DGRAM)
    return socket.socket(family, socket.SOCK_STREAM, IPPROTO_MPTCP if kind == "mptcp" else 0)


def is_over():
    return bool(select.select([sys.stdin], [], [], 0)[0])


def take_place(sock, way, kind, address, port):
    if way != "late" and (kind != "udp" or way == "reuse"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if way == "reuse":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if way != "late":
        sock.bind((address, port))
    if way == "late" and kind == "udp":
        sock.sendto(b"x", ("::1" if ":" in address else "127.0.0.1", 9))
    if way == "reconnect":
        sock.connect(("::1" if ":" in address else "127.0.0.1", 9))
        libc.connect(sock.fileno(), UNSPECIFIED, len(UNSPECIFIED))
    if kind != "udp":
        sock.listen(16)


def answer(sock, kind, tag):
    """How many came."""
    won = 0
    sock.setblocking(False)
    select.select([sock], [], [], WAIT_S)
    while True:
        try:
            if kind == "udp":
                _, peer = sock.recvfrom(100)
                won += 1
                sock.sendto(tag, peer)
            else:
                connection, _ = sock.accept()
                won += 1
                with connection:
                    connection.settimeout(1)
                    connection.sendall(tag + b"\n")
                    connection.recv(1)
        except BlockingIOError:
            return won
        except OSError:
            # An ICMP error of an earlier client, or one that is gone.
            continue


def take(way, kind, address, port, tag, tries, *more):
    limit, until_won = int(tries), more[:1] == ("until-won",)
    procs = [os.open(path, os.O_WRONLY) for path in more[until_won:]]
    done = opened = won = 0
    refused = collections.Counter()
    while done < limit if limit else not is_over():
        if procs:
            os.write(procs[done % len(procs)], b"0")
        done += 1
        with make(kind, address) as sock:
            try:
                take_place(sock, way, kind, address, int(port))
            except OSError as error:
                refused[errno.errorcode[error.errno]] += 1
                continue
            opened += 1
            won += answer(sock, kind, tag.encode())
        if not limit:
            # A daemon that is being started again leaves the other some time, too.
            time.sleep(WAIT_S)
        if until_won and won:
            break
    return {"tries": done, "opened": opened, "refused": refused, "won": won}


def dial(kind, address, port, awaited):
    found = collections.Counter()
    while not is_over() or awaited not in found:
        with make(kind, address) as sock:
            sock.settimeout(0.005)
            try:
                sock.connect((address, int(port)))
                if kind == "udp":
                    sock.send(b"hello")
                found[sock.recv(100).decode().strip() or "EOF"] += 1
            except TimeoutError:
                found["ETIMEDOUT"] += 1
            except OSError as error:
                found[errno.errorcode[error.errno]] += 1
    return found


verb, *rest = sys.argv[1:]
print("at it", flush=True)
print(json.dumps((take if verb == "take" else dial)(*rest)), flush=True)
