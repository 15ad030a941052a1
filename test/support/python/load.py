#!/usr/bin/env python3
"""Dials one after the other until its input ends, then prints how many were answered, by whom, and what failed.

load.py tcp|udp|http ADDRESS PORT PAUSE_MS      IPv6 addresses without brackets. Whom it dials answers with JSON that has a "tag".
"""
import collections
import errno
import json
import select
import socket
import sys


def dial(protocol, target):
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM) as sock:
        sock.settimeout(30)
        sock.connect(target)
        if protocol == "udp":
            sock.send(b"hello")
            return json.loads(sock.recv(65536))["tag"]
        if protocol == "http":
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
        return json.loads(data.rpartition(b"\r\n\r\n")[2])["tag"]


def main():
    protocol, address, port, pause_ms = sys.argv[1:]
    answered = collections.Counter()
    failed = collections.Counter()
    print("dialling", flush=True)
    while not select.select([sys.stdin], [], [], float(pause_ms) / 1000)[0]:
        try:
            answered[dial(protocol, (address, int(port)))] += 1
        except socket.timeout:
            failed["ETIMEDOUT"] += 1
        except OSError as error:
            failed[errno.errorcode.get(error.errno, str(error))] += 1
        except ValueError:
            failed["EOF"] += 1
    print(json.dumps({"answered": answered, "failed": failed}), flush=True)


main()
