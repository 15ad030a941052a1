#!/usr/bin/env python3
"""A client that stays, so that a dial costs a millisecond: requests and results are lines of JSON.

Request: {"protocol", "address", "port", "from": [address, port] or null, "connected": bool, "timeout_s": number,
"mptcp": bool, "length": bytes of a datagram, "headers": IPv4 options or IPv6 extension headers, see below,
"closes": "last", or "first": as soon as it has its answer, "uploads": bytes that it sends first over a connection,
"device": that its socket is bound to, or null}
Result: {"answered": true, "tag", "peer", "local", "client", "repliedFrom"} or {"answered": false, "errno": "ECONNREFUSED"}.
A client that asked for MPTCP also gets "mptcp": false when the connection fell back to plain TCP.
"""
import errno
import json
import socket
import struct
import sys

IPPROTO_MPTCP, SOL_MPTCP, MPTCP_INFO = 262, 284, 1
# Each is what a client may set on its socket: the kernel puts it into every packet, also the SYN.
HEADERS = {
    "options": (socket.IPPROTO_IP, 4, b"\x44\x0c\x05\x00" + bytes(8)),  # IP_OPTIONS: a timestamp to be filled in
    "hop-by-hop": (socket.IPPROTO_IPV6, 54, b"\x00\x00\x01\x04" + bytes(4)),  # IPV6_HOPOPTS: padding
    "destination": (socket.IPPROTO_IPV6, 59, b"\x00\x00\x01\x04" + bytes(4)),  # IPV6_DSTOPTS: padding
}


def name(endpoint):
    return {"address": endpoint[0], "port": endpoint[1]}


def speaks_mptcp(sock):
    """struct mptcp_info: flags after six counters of a byte each; bit 0: fell back."""
    try:
        info = sock.getsockopt(SOL_MPTCP, MPTCP_INFO, 64)
    except OSError:
        return False
    return struct.unpack_from("=I", info, 8)[0] & 1 == 0


def dial(request):
    target = (request["address"], request["port"])
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    tcp = request["protocol"] == "tcp"
    mptcp = request.get("mptcp", False)
    payload = b"hello"[: request.get("length", 5)].ljust(request.get("length", 5), b".")
    details = {}
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    with socket.socket(family, kind, IPPROTO_MPTCP if mptcp else 0) as sock:
        sock.settimeout(request["timeout_s"])
        for header in request.get("headers", []):
            sock.setsockopt(*HEADERS[header])
        if request.get("device") is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, request["device"].encode())
        if request["from"] is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(tuple(request["from"]))
        try:
            if tcp:
                sock.connect(target)
                if mptcp:
                    details["mptcp"] = speaks_mptcp(sock)
                sock.sendall(bytes(request.get("uploads", 0)))
                data = b""
                while chunk := sock.recv(65536):
                    data += chunk
                    if request.get("closes") == "first" and data.endswith(b"\n"):
                        break
                replied_from = sock.getpeername()
            elif request["connected"]:
                sock.connect(target)
                sock.send(payload)
                data = sock.recv(65536)
                replied_from = sock.getpeername()
            else:
                sock.sendto(payload, target)
                data, replied_from = sock.recvfrom(65536)
        except socket.timeout:
            return {"answered": False, "errno": "ETIMEDOUT"}
        except OSError as error:
            return {"answered": False, "errno": errno.errorcode.get(error.errno, str(error))}
        client = sock.getsockname()
    if data == b"":
        return {"answered": False, "errno": "EOF"}
    return {"answered": True, **details, **json.loads(data), "client": name(client), "repliedFrom": name(replied_from)}


for line in sys.stdin:
    print(json.dumps(dial(json.loads(line))), flush=True)
