#!/usr/bin/env python3
"""A daemon that is restarted again and again, and a client that connects right after each listen() or bind().

Both live in one thread, so that nothing but the return of that call lies between the two: the client's socket is made
beforehand in the client's network namespace. Prints {"restarts", "failed": {errno: count}, "wrong": count}.

restart.py tcp|udp --client-netns PATH --listen ADDRESS PORT --dial ADDRESS PORT --count N
"""
import argparse
import collections
import ctypes
import errno
import json
import os
import socket

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def enter(netns):
    if libc.setns(netns, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def make(protocol, address):
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    sock.settimeout(30)
    return sock


def talk_tcp(daemon, client, dialled):
    """Is the connection what it seems to be at both ends?"""
    client.connect(dialled)
    connection, peer = daemon.accept()
    right = connection.getsockname()[:2] == dialled and peer[:2] == client.getsockname()[:2]
    connection.close()
    return right


def talk_udp(daemon, client, dialled):
    """A connected socket takes the answer from whom it dialled only."""
    client.connect(dialled)
    client.send(b"question")
    data, peer = daemon.recvfrom(100)
    daemon.sendto(b"answer", peer)
    return data == b"question" and client.recv(100) == b"answer"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("protocol", choices=["tcp", "udp"])
    parser.add_argument("--client-netns", required=True)
    parser.add_argument("--listen", nargs=2, required=True)
    parser.add_argument("--dial", nargs=2, required=True)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    listen = (options.listen[0], int(options.listen[1]))
    dialled = (options.dial[0], int(options.dial[1]))
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    theirs = os.open(options.client_netns, os.O_RDONLY)
    failed = collections.Counter()
    wrong = 0
    talk = talk_tcp if options.protocol == "tcp" else talk_udp
    for _ in range(options.count):
        enter(theirs)
        client = make(options.protocol, dialled[0])
        enter(own)
        daemon = make(options.protocol, listen[0])
        if options.protocol == "tcp":
            daemon.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        daemon.bind(listen)
        if options.protocol == "tcp":
            daemon.listen(16)
        try:
            if not talk(daemon, client, dialled):
                wrong += 1
        except socket.timeout:
            failed["ETIMEDOUT"] += 1
        except OSError as error:
            failed[errno.errorcode.get(error.errno, str(error))] += 1
        client.close()
        daemon.close()
    print(json.dumps({"restarts": options.count, "failed": failed, "wrong": wrong}))


main()
