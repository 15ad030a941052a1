#!/usr/bin/env python3
"""Daemons whose every answer is one line of JSON: who it is, who asked, and what getsockname() says.

Forks one for each {"do": "start", "tag", "listen": [[tcp or udp, ADDRESS, PORT], ...], "v6only", "reuseport"}, and answers
{"pid", "cookies"} when all its sockets listen, or {"error"}. {"do": "end", "pid", "signal"}: SIGKILL, or SIGTERM, on which a
daemon answers what has come already; {"ended"} when it is gone.
"""
import ctypes
import json
import os
import selectors
import signal
import socket
import struct
import sys

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)
SO_COOKIE = 57


def open_socket(protocol, address, port, options):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    sock = socket.socket(family, kind)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if options["v6only"] else 0)
    if protocol == "tcp":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if options["reuseport"]:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((address, port))
    if protocol == "tcp":
        sock.listen(1024)
    return sock


def name(endpoint):
    address, port = endpoint[:2]
    return {"address": address.removeprefix("::ffff:"), "port": port}


def answer_tcp(listener, tag):
    try:
        connection, peer = listener.accept()
    except BlockingIOError:
        return False
    connection.setblocking(True)
    line = json.dumps({"tag": tag, "peer": name(peer), "local": name(connection.getsockname())})
    try:
        connection.sendall(line.encode() + b"\n")
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the client left first
    connection.close()
    return True


def answer_udp(sock, tag):
    try:
        data, peer = sock.recvfrom(65535)
    except BlockingIOError:
        return False
    except OSError:
        return True  # an ICMP error of an earlier answer
    line = json.dumps(
        {"tag": tag, "peer": name(peer), "local": name(sock.getsockname()), "data": data.decode(errors="replace")}
    )
    try:
        sock.sendto(line.encode() + b"\n", peer)
    except OSError as error:
        print(f"sendto {peer}: {error}", file=sys.stderr, flush=True)
    return True


def serve(ready, request):
    """The daemon, from its first socket to its end. What comes on `ready` is for who asked for it."""
    selector = selectors.DefaultSelector()
    cookies = []
    try:
        for protocol, address, port in request["listen"]:
            sock = open_socket(protocol, address, port, request)
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ, answer_tcp if protocol == "tcp" else answer_udp)
            cookies.append(str(struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0]))
    except OSError as error:
        os.write(ready, json.dumps({"error": str(error)}).encode())
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGTERM, lambda *_: None)
    selector.register(reader, selectors.EVENT_READ, None)
    os.write(ready, json.dumps({"pid": os.getpid(), "cookies": cookies}).encode())
    os.close(ready)
    running = True
    while running:
        for key, _ in selector.select():
            if key.data is None:
                running = False
            else:
                key.data(key.fileobj, request["tag"])
    for key in list(selector.get_map().values()):
        if key.data is not None:
            while key.data(key.fileobj, request["tag"]):
                pass
            key.fileobj.close()


def start(request):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.close(reader)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        try:
            serve(writer, request)
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        # Written at once, and closed when it is done or dead.
        answer = pipe.read()
    if answer == b"" or b"error" in answer:
        os.waitpid(pid, 0)
    return json.loads(answer or '{"error": "it ended before it listened"}')


def end(request):
    os.kill(request["pid"], getattr(signal, request["signal"]))
    os.waitpid(request["pid"], 0)
    return {"ended": request["pid"]}


if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps({"start": start, "end": end}[asked["do"]](asked)), flush=True)
