#!/usr/bin/env python3
"""A client that stays, so that a dial costs a millisecond: requests and results are lines of JSON.

Request: {"protocol", "address", "port", "from": [address, port] or null, "connected": bool, "timeout_s": number}
Result: {"answered": true, "tag", "peer", "local", "client", "repliedFrom"} or {"answered": false, "errno": "ECONNREFUSED"}.
"""
import errno
import json
import socket
import sys


def name(endpoint):
    return {"address": endpoint[0], "port": endpoint[1]}


def dial(request):
    target = (request["address"], request["port"])
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    tcp = request["protocol"] == "tcp"
    with socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as sock:
        sock.settimeout(request["timeout_s"])
        if request["from"] is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(tuple(request["from"]))
        try:
            if tcp:
                sock.connect(target)
                data = b""
                while chunk := sock.recv(65536):
                    data += chunk
                replied_from = sock.getpeername()
            elif request["connected"]:
                sock.connect(target)
                sock.send(b"hello")
                data = sock.recv(65536)
                replied_from = sock.getpeername()
            else:
                sock.sendto(b"hello", target)
                data, replied_from = sock.recvfrom(65536)
        except socket.timeout:
            return {"answered": False, "errno": "ETIMEDOUT"}
        except OSError as error:
            return {"answered": False, "errno": errno.errorcode.get(error.errno, str(error))}
        client = sock.getsockname()
    if data == b"":
        return {"answered": False, "errno": "EOF"}
    return {"answered": True, **json.loads(data), "client": name(client), "repliedFrom": name(replied_from)}


for line in sys.stdin:
    print(json.dumps(dial(json.loads(line))), flush=True)
