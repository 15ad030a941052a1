#!/usr/bin/env python3
"""A daemon that does with its sockets what it is told, one line of JSON after the other, and answers clients meanwhile.

Each request is {"do": VERB, "name": SOCKET, ...}; each gets one line: {"done": true, ...} or {"done": false, "errno"}.
An answer to a client is one line of JSON: {"tag", "peer", "local"}, the tag being the socket's.

  open      kind (tcp, mptcp, udp), address, port, options [reuseport, reuseaddr, v6only, dual, freebind, transparent, late],
            device, tag, selector (a group's own program: always this member), listen (default true),
            closes (first, the default, or last: when the client has closed), reads (bytes, before it answers),
            backlog (connections that wait for accept(), default 1024), keep (a socket whose bind() or listen() failed is kept all the same),
            bind (default true), uring (io_uring does all that)
  unshare   this process goes on in user and network namespaces of its own
  bind      once more (address, port)
  listen, shutdown, close, connect (address, port), disconnect, bind_device (device)
  fork      the listener is handed to a child by fork(); the parent closes it;   end   kills the child (pid)
  send_away / take   the listener goes through a Unix socket (path) to another lab, and comes out there (SCM_RIGHTS)
  timestamps, error_queue: SO_TIMESTAMP, IP_RECVERR    hold / release: stop and go on answering;
  answer    one datagram, while held
  look      FIONREAD, poll, and one recvmsg without waiting: data, ancillary data
  array     puts sockets (members) into a REUSEPORT_SOCKARRAY of its own, whose program selects the first (attached to `name`)
  many      recvmmsg: lengths of what has come
  close_all ends the children and closes everything
"""
import array
import ctypes
import errno
import fcntl
import json
import os
import select
import selectors
import signal
import socket
import struct
import sys
import termios

import uring
from stranger import bpf

IPPROTO_MPTCP = 262
SO_COOKIE = 57
SO_ATTACH_REUSEPORT_CBPF = 51
SO_ATTACH_REUSEPORT_EBPF = 52
BPF_MAP_CREATE, BPF_MAP_UPDATE_ELEM, BPF_PROG_LOAD = 0, 2, 5
BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, BPF_PROG_TYPE_SK_REUSEPORT, BPF_FUNC_sk_select_reuseport = 20, 21, 82
SO_TIMESTAMP = 29
IP_RECVERR, IPV6_RECVERR = 11, 25
IP_FREEBIND, IP_TRANSPARENT = 15, 19
IPV6_TRANSPARENT, IPV6_FREEBIND = 75, 78
IP_BIND_ADDRESS_NO_PORT = 24
UDP_ENCAP, UDP_ENCAP_ESPINUDP = 100, 2
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_PKTINFO = 8, 49, 50
PKTINFO = [(socket.IPPROTO_IP, IP_PKTINFO), (socket.IPPROTO_IPV6, IPV6_PKTINFO)]
libc = ctypes.CDLL(None, use_errno=True)

selector = selectors.DefaultSelector()
sockets = {}
children = set()
tags = {}
waiting = {}
closes_last = set()
reads = {}


def name_of(endpoint):
    return {"address": endpoint[0].removeprefix("::ffff:"), "port": endpoint[1]}


def is_stream(sock):
    return sock.type == socket.SOCK_STREAM


def answer(sock, tag):
    try:
        if is_stream(sock):
            connection, peer = sock.accept()
        else:
            data, ancillary, _, peer = sock.recvmsg(65535, 256)
    except OSError:
        return
    if not is_stream(sock):
        line = {"tag": tag, "peer": name_of(peer), "local": name_of(sock.getsockname()), "length": len(data)}
        # On a wildcard address a daemon has to say itself from where it answers.
        source = [one for one in ancillary if one[:2] in PKTINFO]
        try:
            sock.sendmsg([json.dumps(line).encode() + b"\n"], source, 0, peer)
        except OSError:
            pass
        return
    connection.setblocking(True)
    line = {"tag": tag, "peer": name_of(peer), "local": name_of(connection.getsockname())}
    try:
        left = reads.get(tag, 0)
        while left > 0 and (chunk := connection.recv(min(left, 1 << 20))):
            left -= len(chunk)
        connection.sendall(json.dumps(line).encode() + b"\n")
        if tag in closes_last:
            connection.recv(1)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    connection.close()


def attend(name):
    selector.register(sockets[name], selectors.EVENT_READ, name)


def leave(name):
    if sockets[name] in [key.fileobj for key in selector.get_map().values()]:
        selector.unregister(sockets[name])


def set_options(sock, request):
    ipv6 = sock.family == socket.AF_INET6
    for option in request.get("options", []):
        if option == "reuseport":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        elif option == "reuseaddr":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        elif option in ("v6only", "dual"):
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, option == "v6only")
        elif option == "freebind":
            sock.setsockopt(*((socket.IPPROTO_IPV6, IPV6_FREEBIND) if ipv6 else (socket.IPPROTO_IP, IP_FREEBIND)), 1)
        elif option == "transparent":
            sock.setsockopt(
                *((socket.IPPROTO_IPV6, IPV6_TRANSPARENT) if ipv6 else (socket.IPPROTO_IP, IP_TRANSPARENT)), 1
            )
        elif option == "broadcast":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        elif option == "group":
            membership = socket.inet_aton("239.1.2.3") + socket.inet_aton("127.0.0.1")
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        elif option == "encap":
            # IPsec in UDP: the kernel takes what begins with four bytes that are not zero.
            sock.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
        elif option == "late":
            # bind() gives an address and no port.
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        else:
            raise ValueError(option)
    if "device" in request:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, request["device"].encode())


def attach_selector(sock, member):
    # BPF_RET | BPF_K: always the same member
    program = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, member))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, struct.pack("HL", 1, ctypes.addressof(program)))


def cookie(sock):
    return str(struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0])


def do_open(request):
    kind, address = request["kind"], request["address"]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    protocol = IPPROTO_MPTCP if kind == "mptcp" else 0
    kind_of_socket = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
    try:
        sock = (uring.make if request.get("uring", False) else socket.socket)(family, kind_of_socket, protocol)
    except OSError:
        # What Go does after any error (net/mptcpsock_linux.go, listenMPTCP).
        if not request.get("falls_back"):
            raise
        sock = socket.socket(family, kind_of_socket)
    sockets[request["name"]] = sock
    tag = tags[request["name"]] = request.get("tag", request["name"])
    if request.get("closes", "first") == "last":
        closes_last.add(tag)
    reads[tag] = request.get("reads", 0)
    try:
        if kind != "udp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        set_options(sock, request)
        if kind == "udp" and address in ("0.0.0.0", "::"):
            ipv6 = family == socket.AF_INET6
            sock.setsockopt(*((socket.IPPROTO_IPV6, IPV6_RECVPKTINFO) if ipv6 else PKTINFO[0]), 1)
        if request.get("bind", True):
            sock.bind((address, request["port"]))
        if kind != "udp" and request.get("listen", True):
            sock.listen(request.get("backlog", 1024))
        if "selector" in request:
            attach_selector(sock, request["selector"])
    except OSError:
        if not request.get("keep", False):
            sock.close()
            del sockets[request["name"]]
        raise
    sock.setblocking(False)
    if kind == "udp" or request.get("listen", True):
        attend(request["name"])
    address, port = sock.getsockname()[:2]
    return {"address": address, "port": port, "cookie": cookie(sock)}


def do_bind(request):
    sock = sockets[request["name"]]
    sock.bind((request["address"], request["port"]))
    sock.setblocking(False)
    attend(request["name"])


def do_listen(request):
    sockets[request["name"]].listen(1024)
    leave(request["name"])
    attend(request["name"])


def do_shutdown(request):
    leave(request["name"])
    sockets[request["name"]].shutdown(socket.SHUT_RDWR)


def do_close(request):
    leave(request["name"])
    sockets.pop(request["name"]).close()


def do_connect(request):
    sockets[request["name"]].connect((request["address"], request["port"]))


def do_disconnect(request):
    unspecified = struct.pack("=H14x", socket.AF_UNSPEC)
    if libc.connect(sockets[request["name"]].fileno(), unspecified, len(unspecified)) != 0:
        raise OSError(ctypes.get_errno(), "connect")


def do_bind_device(request):
    sockets[request["name"]].setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, request["device"].encode())


def do_unshare(_):
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def do_fork(request):
    """The child serves on; when this process ends, so does the child."""
    name = request["name"]
    reader, writer = os.pipe()
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        for other in sockets:
            if other != name:
                sockets[other].close()
        os.close(ready)
        os.close(tell)
        # Its own: an epoll set is shared by fork().
        own = selectors.DefaultSelector()
        own.register(reader, selectors.EVENT_READ, None)
        own.register(sockets[name], selectors.EVENT_READ, name)
        while True:
            for key, _ in own.select():
                if key.data is None:
                    os._exit(0)
                answer(key.fileobj, request["tag"])
    os.close(reader)
    os.close(tell)
    # Until the child has closed them, the others live on in it, also those that are closed here.
    os.read(ready, 1)
    os.close(ready)
    leave(name)
    sockets.pop(name).close()
    children.add(pid)
    return {"pid": pid}


def do_end(request):
    """Ends a child that was forked, with its socket."""
    os.kill(request["pid"], signal.SIGKILL)
    os.waitpid(request["pid"], 0)
    children.discard(request["pid"])


def do_close_all(_):
    for pid in list(children):
        do_end({"pid": pid})
    for name in list(sockets):
        do_close({"name": name})
    for listener in waiting.values():
        listener.close()
    waiting.clear()
    tags.clear()
    closes_last.clear()
    reads.clear()


def do_send_away(request):
    name = request["name"]
    leave(name)
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(request["path"])
        socket.send_fds(channel, [b"x"], [sockets[name].fileno()])
        channel.recv(1)
    if not request.get("keep", False):
        sockets.pop(name).close()


def do_await(request):
    waiting[request["path"]] = listener = socket.socket(socket.AF_UNIX)
    listener.bind(request["path"])
    listener.listen(1)


def do_take(request):
    with waiting.pop(request["path"]) as listener:
        channel, _ = listener.accept()
        with channel:
            _, fds, _, _ = socket.recv_fds(channel, 1, 1)
            sockets[request["name"]] = sock = socket.socket(fileno=fds[0])
            sock.setblocking(False)
            tags[request["name"]] = request["tag"]
            attend(request["name"])
            channel.send(b"x")
    return {"cookie": cookie(sock)}


def do_timestamps(request):
    sockets[request["name"]].setsockopt(socket.SOL_SOCKET, SO_TIMESTAMP, 1)


def do_error_queue(request):
    sock = sockets[request["name"]]
    ipv6 = sock.family == socket.AF_INET6
    sock.setsockopt(*((socket.IPPROTO_IPV6, IPV6_RECVERR) if ipv6 else (socket.IPPROTO_IP, IP_RECVERR)), 1)


def do_send(request):
    sockets[request["name"]].sendto(b"hello", (request["address"], request["port"]))


def do_hold(request):
    leave(request["name"])


def do_answer(request):
    """Answers one datagram that has come."""
    wait_events(sockets[request["name"]], 1000, False)
    answer(sockets[request["name"]], tags[request["name"]])


def do_release(request):
    attend(request["name"])


def do_array(request):
    members = [sockets[name] for name in request["members"]]
    array_fd = bpf(BPF_MAP_CREATE, struct.pack("=IIII", BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4, 8, len(members)))
    for index, member in enumerate(members):
        key = ctypes.create_string_buffer(struct.pack("=I", index), 4)
        value = ctypes.create_string_buffer(struct.pack("=Q", member.fileno()), 8)
        bpf(BPF_MAP_UPDATE_ELEM, struct.pack("=IIQQQ", array_fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0))
    code = b"".join(
        struct.pack("=BBhi", *instruction)
        for instruction in (
            (0x62, 10, -4, 0),  # *(u32 *)(r10 - 4) = 0
            (0x18, 2 | 1 << 4, 0, array_fd),  # r2 = the array
            (0, 0, 0, 0),
            (0xBF, 3 | 10 << 4, 0, 0),  # r3 = r10
            (0x07, 3, 0, -4),  # r3 += -4
            (0xB7, 4, 0, 0),  # r4 = 0
            (0x85, 0, 0, BPF_FUNC_sk_select_reuseport),
            (0xB7, 0, 0, 1),  # r0 = SK_PASS
            (0x95, 0, 0, 0),
        )
    )
    instructions = ctypes.create_string_buffer(code, len(code))
    license_name = ctypes.create_string_buffer(b"GPL")
    program = bpf(
        BPF_PROG_LOAD,
        struct.pack(
            "=IIQQ",
            BPF_PROG_TYPE_SK_REUSEPORT,
            len(code) // 8,
            ctypes.addressof(instructions),
            ctypes.addressof(license_name),
        ),
    )
    sockets[request["name"]].setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, program)
    os.close(program)
    # While the sockets are in it: it goes with this process.


def queued(sock):
    size = array.array("i", [0])
    fcntl.ioctl(sock.fileno(), termios.FIONREAD, size)
    return size[0]


def wait_events(sock, timeout_ms, only_errors):
    poll = select.poll()
    poll.register(sock, 0 if only_errors else select.POLLIN | select.POLLERR)
    events = poll.poll(timeout_ms)
    return events[0][1] if events else 0


def do_look(request):
    sock = sockets[request["name"]]
    events = wait_events(sock, request.get("timeout_ms", 1000), request.get("only_errors", False))
    found = {"events": events, "queued": queued(sock)}
    flags = socket.MSG_ERRQUEUE if request.get("errors", False) else 0
    try:
        data, ancillary, _, _ = sock.recvmsg(65535, 512, flags | socket.MSG_DONTWAIT)
    except OSError as error:
        return {**found, "errno": errno.errorcode[error.errno]}
    # What differs from one packet to the next is left out: times, and the bytes behind the kind of an error.
    kinds = [[level, kind, len(content)] for level, kind, content in ancillary]
    errors = [list(struct.unpack("=IBBB", content[:7])) for level, kind, content in ancillary if flags]
    return {**found, "length": len(data), "ancillary": kinds, "errors": errors, "left": queued(sock)}


class IoVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class MsgHdr(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.POINTER(IoVec)),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class MMsgHdr(ctypes.Structure):
    _fields_ = [("header", MsgHdr), ("length", ctypes.c_uint)]


def do_many(request):
    sock = sockets[request["name"]]
    count = 16
    buffers = [ctypes.create_string_buffer(2048) for _ in range(count)]
    vectors = [IoVec(ctypes.addressof(buffer), 2048) for buffer in buffers]
    messages = (MMsgHdr * count)()
    for message, vector in zip(messages, vectors):
        message.header.iov = ctypes.pointer(vector)
        message.header.iovlen = 1
    received = libc.recvmmsg(sock.fileno(), messages, count, socket.MSG_DONTWAIT, None)
    if received < 0:
        raise OSError(ctypes.get_errno(), "recvmmsg")
    return {"lengths": [message.length for message in messages[:received]]}


def obey(request):
    try:
        result = globals()[f"do_{request['do']}"](request)
    except OSError as error:
        return {"done": False, "errno": errno.errorcode.get(error.errno, str(error))}
    return {"done": True, **(result or {})}


def main():
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                if sockets.get(key.data) is key.fileobj:
                    answer(key.fileobj, tags[key.data])
                continue
            line = sys.stdin.readline()
            if line == "":
                return
            print(json.dumps(obey(json.loads(line))), flush=True)


main()
