#!/usr/bin/env python3
"""A daemon that is restarted again and again, and a client that connects right after each listen().

Both live in one thread, so that nothing but the return of listen() lies between the two: the client's socket is made
beforehand in the client's network namespace. Prints {"restarts", "failed": {errno: count}, "wrong": count}.

restart.py --client-netns PATH --listen ADDRESS PORT --dial ADDRESS PORT --count N
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


def stream(address):
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)


def main():
    parser = argparse.ArgumentParser()
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
    for _ in range(options.count):
        enter(theirs)
        client = stream(dialled[0])
        enter(own)
        client.settimeout(5)
        daemon = stream(listen[0])
        daemon.settimeout(5)
        daemon.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        daemon.bind(listen)
        daemon.listen(16)
        try:
            client.connect(dialled)
            connection, _ = daemon.accept()
            if connection.getsockname()[:2] != dialled:
                wrong += 1
            connection.close()
        except socket.timeout:
            failed["ETIMEDOUT"] += 1
        except OSError as error:
            failed[errno.errorcode.get(error.errno, str(error))] += 1
        client.close()
        daemon.close()
    print(json.dumps({"restarts": options.count, "failed": failed, "wrong": wrong}))


main()
