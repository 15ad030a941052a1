#!/usr/bin/env python3
"""A daemon that gets its sockets from whoever starts it, as systemd hands them over (sd_listen_fds(3)); answers as echo.py."""
import os
import selectors
import socket

from echo import answer_tcp, answer_udp

selector = selectors.DefaultSelector()
for fd in range(3, 3 + int(os.environ["LISTEN_FDS"])):
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    selector.register(sock, selectors.EVENT_READ, answer_tcp if sock.type == socket.SOCK_STREAM else answer_udp)
while True:
    for key, _ in selector.select():
        key.data(key.fileobj, f"activated {os.getpid()}")
