#!/usr/bin/env python3
"""A unit that is started again and again, each time in a cgroup that is made anew, and a client that dials as soon as it says
that it listens. Prints {"restarts", "failed": {what: count}}.

unit.py tcp|mptcp|udp --client-netns PATH --cgroup PATH --uid N --listen ADDRESS PORT --dial ADDRESS PORT --count N
"""
import argparse
import collections
import ctypes
import errno
import json
import os
import socket
import time

CLONE_NEWNET, IPPROTO_MPTCP = 0x40000000, 262
libc = ctypes.CDLL(None, use_errno=True)


def enter(netns):
    if libc.setns(netns, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def make(kind, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if kind == "udp":
        sock = socket.socket(family, socket.SOCK_DGRAM)
    else:
        sock = socket.socket(family, socket.SOCK_STREAM, IPPROTO_MPTCP if kind == "mptcp" else 0)
    sock.settimeout(30)
    return sock


def serve(kind, listen, uid, procs, tell):
    """The daemon: into its cgroup first, then its own user, as systemd starts it."""
    with open(procs, "w") as file:
        file.write("0")
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    try:
        sock = make(kind, listen[0])
        if kind != "udp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(listen)
        if kind != "udp":
            sock.listen(16)
    except OSError as error:
        os.write(tell, errno.errorcode[error.errno].encode())
        return
    os.write(tell, b"listens")
    if kind == "udp":
        sock.sendto(b"unit", sock.recvfrom(100)[1])
    else:
        connection, _ = sock.accept()
        connection.sendall(b"unit")
        connection.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["tcp", "mptcp", "udp"])
    parser.add_argument("--client-netns", required=True)
    parser.add_argument("--cgroup", required=True)
    parser.add_argument("--uid", type=int, required=True)
    parser.add_argument("--listen", nargs=2, required=True)
    parser.add_argument("--dial", nargs=2, required=True)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    theirs = os.open(options.client_netns, os.O_RDONLY)
    listen = (options.listen[0], int(options.listen[1]))
    failed = collections.Counter()
    for _ in range(options.count):
        os.mkdir(options.cgroup)
        reader, tell = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                serve(options.kind, listen, options.uid, f"{options.cgroup}/cgroup.procs", tell)
            finally:
                os._exit(0)
        os.close(tell)
        enter(theirs)
        client = make(options.kind, options.dial[0])
        enter(own)
        said = os.read(reader, 100).decode()
        os.close(reader)
        try:
            if said != "listens":
                failed[f"listen: {said}"] += 1
            else:
                client.connect((options.dial[0], int(options.dial[1])))
                if options.kind == "udp":
                    client.send(b"hello")
                if client.recv(100) != b"unit":
                    failed["another's answer"] += 1
        except OSError as error:
            failed[f"dial: {errno.errorcode.get(error.errno, error)}"] += 1
        client.close()
        if failed:
            os.kill(child, 9)
        os.waitpid(child, 0)
        # A process that has ended leaves its cgroup a moment later.
        while True:
            try:
                os.rmdir(options.cgroup)
                break
            except OSError:
                time.sleep(0.0005)
    print(json.dumps({"restarts": options.count, "failed": failed}))


main()
