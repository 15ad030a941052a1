#!/usr/bin/env python3
"""Datagrams without answers, for who wants to know which socket each of them came to: requests and answers are lines of JSON.

{"listen": [[TAG, ADDRESS, PORT], ...]} -> {"listening": N}; a socket of IPv6 takes no IPv4.
{"send": [[TEXT, FROM, FROM PORT, DEVICE or null, ADDRESS, PORT], ...]} -> {"sent": N}
{"collect": true} -> {TEXT: TAG} of what came since the last time.
"""
import errno
import json
import socket
import sys

sockets = []


def open_socket(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((address, port))
    return sock


def send(text, address, port, device, to, to_port):
    with open_socket(address, port) as sock:
        if device is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        sock.sendto(text.encode(), (to, to_port))


def collect():
    came = {}
    for tag, sock in sockets:
        while True:
            try:
                came[sock.recv(65536).decode()] = tag
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno not in (errno.ECONNREFUSED, errno.EHOSTUNREACH):
                    raise
    return came


for line in sys.stdin:
    asked = json.loads(line)
    answer = {}
    if "listen" in asked:
        for tag, address, port in asked["listen"]:
            sock = open_socket(address, port)
            sock.setblocking(False)
            sockets.append((tag, sock))
        answer = {"listening": len(sockets)}
    elif "send" in asked:
        for one in asked["send"]:
            send(*one)
        answer = {"sent": len(asked["send"])}
    else:
        answer = collect()
    print(json.dumps(answer), flush=True)
