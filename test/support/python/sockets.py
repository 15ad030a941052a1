#!/usr/bin/env python3
"""Opens and closes listening sockets on demand, one line of JSON per request and answer.

{"open": [{"protocol", "address", "port", "v6only", "mapped", "members"}]} -> [[{"cookie", "v6only"}] or null], in that
order; null where the kernel refused the bind. With "uid" and "gid" they are another user's and group's. With "peer" ([address, port]) a socket is connected to there. {"close": [cookie]} -> "closed".
"""
import json
import os
import socket
import struct
import sys

SO_COOKIE = 57
opened = {}


def open_one(wanted):
    address = "::ffff:" + wanted["address"] if wanted["mapped"] else wanted["address"]
    ipv6 = ":" in address
    kind = socket.SOCK_STREAM if wanted["protocol"] == "tcp" else socket.SOCK_DGRAM
    os.setegid(wanted.get("gid", 0))
    os.seteuid(wanted.get("uid", 0))
    sock = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, kind)
    os.seteuid(0)
    os.setegid(0)
    try:
        if ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if wanted["v6only"] and not wanted["mapped"] else 0)
        # On every socket, so that the kernel takes a wildcard beside an address, and each may be a group of one.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address, wanted["port"]))
        if kind == socket.SOCK_STREAM:
            sock.listen(1)
        if "peer" in wanted:
            sock.connect(tuple(wanted["peer"]))
    except OSError:
        sock.close()
        return None
    cookie = str(struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0])
    opened[cookie] = sock
    # The kernel makes a socket that is bound to one IPv6 address IPv6 only, whatever was asked for.
    v6only = ipv6 and not wanted["mapped"] and sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    return {"cookie": cookie, "v6only": v6only}


def open_group(wanted):
    members = [member for member in (open_one(wanted) for _ in range(wanted["members"])) if member is not None]
    return members or None


for line in sys.stdin:
    request = json.loads(line)
    if "open" in request:
        answer = [open_group(wanted) for wanted in request["open"]]
    else:
        for cookie in request["close"]:
            opened.pop(cookie).close()
        answer = "closed"
    print(json.dumps(answer), flush=True)
