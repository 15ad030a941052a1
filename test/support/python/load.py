#!/usr/bin/env python3
"""Dials one after the other until its input ends, then prints how many were answered, by whom, what failed, and for how long
no dial was answered at the longest (gap_ms: between the beginnings of the first dial that failed and of the next that did not).

load.py tcp|udp|http ADDRESS PORT PAUSE_MS [TIMEOUT_S]
IPv6 addresses without brackets. Whom it dials answers with JSON that has a "tag".
"""
import collections
import errno
import json
import select
import socket
import sys
import time


def dial(protocol, target, timeout_s):
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout_s)
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
    protocol, address, port, pause_ms = sys.argv[1:5]
    timeout_s = float(sys.argv[5]) if len(sys.argv) > 5 else 30
    answered = collections.Counter()
    failed = collections.Counter()
    gap = 0
    failing_since = None

    def dial_once():
        nonlocal gap, failing_since
        begun = time.monotonic()
        failures = failed.total()
        try:
            answered[dial(protocol, (address, int(port)), timeout_s)] += 1
        except socket.timeout:
            failed["ETIMEDOUT"] += 1
        except OSError as error:
            failed[errno.errorcode.get(error.errno, str(error))] += 1
        except ValueError:
            failed["EOF"] += 1
        if failed.total() > failures:
            failing_since = failing_since or begun
        elif failing_since is not None:
            gap = max(gap, begun - failing_since)
            failing_since = None

    print("dialling", flush=True)
    while not select.select([sys.stdin], [], [], float(pause_ms) / 1000)[0]:
        dial_once()
    # The last one may have begun long before it was asked to end, and waited for an answer: one more tells how it is now.
    if failing_since is not None:
        dial_once()
    if failing_since is not None:
        gap = max(gap, time.monotonic() - failing_since)
    summary = {"answered": answered, "failed": failed, "gap_ms": round(gap * 1000), "ended_failing": failing_since is not None}
    print(json.dumps(summary), flush=True)


main()
