#!/usr/bin/env python3
"""Either end of UDP, done step by step: one line of JSON per request and answer; a refusal is {"error": "EINVAL"}.

{"do": "open", "socket", "family", "bind": [address, port], "connect": [address, port], "options": [name]} -> the local end
{"do": "connect", "socket", "to"} -> the local end        {"do": "close", "socket"} -> {}
{"do": "send", "socket", "to": [address, port] or null, "sizes": [bytes], "segment": bytes, "from": address} -> {"sent"}
    several sizes are one sendmmsg(); "segment" is UDP_SEGMENT; "from" is IP_PKTINFO
{"do": "receive", "socket", "timeout_s"} -> {"size", "from", "packetInfo", "original"} or an error
{"do": "drain", "socket"} -> {"drained"}: what waits there
{"do": "failure", "socket", "timeout_s"} -> {"errno", "type", "code", "info", "origin", "offender", "to"} of the error queue
{"do": "capture", "device"} -> {}        {"do": "captured", "port"} -> the datagrams seen since, to or from that port
{"do": "flood", "to": [address, port], "count", "network", "timeout_s"} -> {"sent"}: from spoofed sources of a /8
"""
import ctypes
import errno
import json
import select
import socket
import struct
import sys
import time

IP_PKTINFO, IP_RECVERR, IP_RECVORIGDSTADDR, UDP_SEGMENT = 8, 11, 20, 103
IPV6_RECVERR, IPV6_RECVPKTINFO, IPV6_PKTINFO, IPV6_RECVORIGDSTADDR = 25, 49, 50, 74
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_DO = 10, 23, 2
PACKET_AUXDATA, PACKET_OUTGOING, CHECKSUM_NOT_READY = 8, 4, 8
SOL_UDP, SOL_PACKET, ETH_P_ALL, IP6_FRAGMENT = 17, 263, 3, 44

UDP_GRO = 104
options = {
    "reuseport": lambda s, v6: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1),
    "reuseaddr": lambda s, v6: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1),
    "pktinfo": lambda s, v6: s.setsockopt(*((socket.IPPROTO_IPV6, IPV6_RECVPKTINFO) if v6 else (0, IP_PKTINFO)), 1),
    "origdst": lambda s, v6: s.setsockopt(*((socket.IPPROTO_IPV6, IPV6_RECVORIGDSTADDR) if v6 else (0, IP_RECVORIGDSTADDR)), 1),
    "recverr": lambda s, v6: s.setsockopt(*((socket.IPPROTO_IPV6, IPV6_RECVERR) if v6 else (0, IP_RECVERR)), 1),
    "v6only": lambda s, v6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1),
    "df": lambda s, v6: s.setsockopt(*((socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER) if v6 else (0, IP_MTU_DISCOVER)), PMTUDISC_DO),
    "gro": lambda s, v6: s.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1),
    "dualstack": lambda s, v6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0),
}
sockets = {}
captures = []


def end(address):
    return {"address": address[0].removeprefix("::ffff:"), "port": address[1]}


def sockaddr(data):
    if struct.unpack_from("=H", data)[0] == socket.AF_UNSPEC:
        return {"address": "", "port": 0}
    if struct.unpack_from("=H", data)[0] == socket.AF_INET:
        return end((socket.inet_ntop(socket.AF_INET, data[4:8]), struct.unpack_from("!H", data, 2)[0]))
    return end((socket.inet_ntop(socket.AF_INET6, data[8:24]), struct.unpack_from("!H", data, 2)[0]))


def open_socket(request):
    v6 = request["family"] == 6
    sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    for name in request.get("options", []):
        options[name](sock, v6)
    if request.get("bind"):
        sock.bind(tuple(request["bind"]))
    if request.get("connect"):
        sock.connect(tuple(request["connect"]))
    sockets[request["socket"]] = sock
    return end(sock.getsockname())


def connect(request):
    sock = sockets[request["socket"]]
    sock.connect(tuple(request["to"]))
    return end(sock.getsockname())


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Message(ctypes.Structure):
    """struct mmsghdr"""

    _fields_ = [
        ("name", ctypes.c_void_p), ("name_length", ctypes.c_uint), ("vectors", ctypes.POINTER(Vector)),
        ("vector_count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int), ("padding", ctypes.c_int), ("sent", ctypes.c_uint), ("padding2", ctypes.c_int),
    ]


def send_many(sock, to, sizes):
    if sock.family == socket.AF_INET6:
        name = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", to[1], 0) + socket.inet_pton(socket.AF_INET6, to[0]) + bytes(4)
    else:
        name = struct.pack("=H", socket.AF_INET) + struct.pack("!H", to[1]) + socket.inet_aton(to[0]) + bytes(8)
    name = ctypes.create_string_buffer(name, len(name))
    messages = (Message * len(sizes))()
    kept = []
    for message, size in zip(messages, sizes):
        data = ctypes.create_string_buffer(payload(size), size)
        vector = Vector(ctypes.addressof(data), size)
        kept += [data, vector]
        message.name, message.name_length = ctypes.addressof(name), len(name)
        message.vectors, message.vector_count = ctypes.pointer(vector), 1
    sent = ctypes.CDLL(None, use_errno=True).sendmmsg(sock.fileno(), messages, len(sizes), 0)
    if sent < 0:
        raise OSError(ctypes.get_errno(), "sendmmsg")
    return sent


def payload(size):
    return bytes(i * 7 & 0xFF for i in range(size))


def send(request):
    sock, to, sizes = sockets[request["socket"]], request["to"], request["sizes"]
    to = to and tuple(to)
    if len(sizes) > 1:
        return {"sent": send_many(sock, to, sizes)}
    control = []
    if request.get("segment"):
        control.append((SOL_UDP, UDP_SEGMENT, struct.pack("=H", request["segment"])))
    if request.get("from"):
        if sock.family == socket.AF_INET6:
            info = socket.inet_pton(socket.AF_INET6, request["from"]) + struct.pack("=I", 0)
            control.append((socket.IPPROTO_IPV6, IPV6_PKTINFO, info))
        else:
            control.append((0, IP_PKTINFO, struct.pack("=I", 0) + socket.inet_aton(request["from"]) + bytes(4)))
    return {"sent": sock.sendmsg([payload(sizes[0])], control, 0, *([to] if to else []))}


def wait(sock, events, timeout_s):
    poll = select.poll()
    poll.register(sock, events)
    if not poll.poll(timeout_s * 1000):
        raise OSError(errno.ETIMEDOUT, "nothing came")


def receive(request):
    sock = sockets[request["socket"]]
    wait(sock, select.POLLIN, request["timeout_s"])
    data, control, _, peer = sock.recvmsg(70000, 1024)
    answer = {"size": len(data), "whole": data == payload(len(data)), "from": end(peer), "packetInfo": None, "original": None}
    for level, kind, value in control:
        if (level, kind) == (0, IP_PKTINFO):
            answer["packetInfo"] = socket.inet_ntoa(value[8:12])
        elif (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
            answer["packetInfo"] = socket.inet_ntop(socket.AF_INET6, value[:16])
        elif (level, kind) in ((0, IP_RECVORIGDSTADDR), (socket.IPPROTO_IPV6, IPV6_RECVORIGDSTADDR)):
            answer["original"] = sockaddr(value)
    return answer


def drain(request):
    sock, drained = sockets[request["socket"]], 0
    while select.select([sock], [], [], 0)[0]:
        sock.recv(70000)
        drained += 1
    return {"drained": drained}


def failure(request):
    sock = sockets[request["socket"]]
    wait(sock, select.POLLERR, request["timeout_s"])
    _, control, _, to = sock.recvmsg(70000, 1024, socket.MSG_ERRQUEUE)
    for level, kind, value in control:
        if (level, kind) in ((0, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)):
            number, origin, icmp, code, info = struct.unpack_from("=IBBBxI", value)
            return {
                "errno": errno.errorcode[number], "origin": origin, "type": icmp, "code": code, "info": info,
                "offender": sockaddr(value[16:])["address"], "to": end(to),
            }
    raise OSError(errno.ENODATA, "no error in the queue")


def capture(request):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    sock.bind((request["device"], ETH_P_ALL))
    while captures:
        captures.pop().close()
    captures.append(sock)
    return {}


def fold(total):
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def sum_of(data):
    return fold(sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2))))


def fragment_of(data):
    """(address family, source, destination, id, offset, more, payload, is the header's checksum right)"""
    if data[0] >> 4 == 4:
        length = (data[0] & 15) * 4
        total, number, offset = struct.unpack_from("!HHH", data, 2)
        if data[9] != SOL_UDP:
            return None
        key = (data[12:16], data[16:20])
        return socket.AF_INET, key, number, (offset & 0x1FFF) * 8, bool(offset & 0x2000), data[length:total], sum_of(data[:length]) == 0xFFFF
    if data[0] >> 4 != 6:
        return None
    key = (data[8:24], data[24:40])
    body = data[40 : 40 + struct.unpack_from("!H", data, 4)[0]]
    if data[6] == IP6_FRAGMENT and body[0] == SOL_UDP:
        offset, number = struct.unpack_from("!HI", body, 2)
        return socket.AF_INET6, key, number, offset & 0xFFF8, bool(offset & 1), body[8:], True
    return (socket.AF_INET6, key, None, 0, False, body, True) if data[6] == SOL_UDP else None


def checksum_of(source, destination, datagram, not_ready):
    pseudo = source + destination + struct.pack("!II", len(datagram), SOL_UDP)
    check = struct.unpack_from("!H", datagram, 6)[0]
    if not_ready:
        # The device is to finish it: so far it is the sum of the pseudo header, not complemented.
        return "partial" if check == sum_of(pseudo) else "wrong"
    return "valid" if check and sum_of(pseudo + datagram) == 0xFFFF else "wrong"


def captured(request):
    waiting, found = {}, []
    sock = captures[0]
    while select.select([sock], [], [], 0)[0]:
        data, control, _, link = sock.recvmsg(70000, 256)
        if link[2] == PACKET_OUTGOING and link[0] == "lo":
            continue  # comes once more, incoming
        parts = fragment_of(data)
        if parts is None:
            continue
        family, (source, destination), number, offset, more, body, header_ok = parts
        status = next((struct.unpack_from("=I", value)[0] for level, kind, value in control if (level, kind) == (SOL_PACKET, PACKET_AUXDATA)), 0)
        key = number if more or offset else object()
        known = waiting.setdefault(key, {"pieces": {}, "sources": set(), "header": True, "end": None})
        known["pieces"][offset] = body
        known["sources"].add(socket.inet_ntop(family, source))
        known["header"] = known["header"] and header_ok
        if not more:
            known["end"] = offset + len(body)
        if known["end"] is None or sum(map(len, known["pieces"].values())) < known["end"]:
            continue
        del waiting[key]
        datagram = b"".join(known["pieces"][at] for at in sorted(known["pieces"]))
        from_port, to_port = struct.unpack_from("!HH", datagram)
        if request["port"] not in (from_port, to_port):
            continue
        found.append(
            {
                "sources": sorted(known["sources"]),
                "port": from_port,
                "to": {"address": socket.inet_ntop(family, destination), "port": to_port},
                "fragments": len(known["pieces"]),
                "size": len(datagram) - 8,
                "checksum": checksum_of(source, destination, datagram, bool(status & CHECKSUM_NOT_READY)),
                "header": known["header"],
            }
        )
    return found


def flood(request):
    """Spoofed sources: one datagram each, from ever another address and port."""
    address, port = request["to"]
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    to, sent = socket.inet_aton(address), 0
    first, until = request["network"] << 24, time.monotonic() + request["timeout_s"]
    header = bytearray(28)
    struct.pack_into("!BBHHHBBH", header, 0, 0x45, 0, 28, 0, 0, 64, SOL_UDP, 0)
    header[16:20] = to
    for n in range(request["count"]):
        struct.pack_into("!I", header, 12, first + 1 + n)
        struct.pack_into("!HHHH", header, 20, 1024 + n % 60000, port, 8, 0)  # UDP without a checksum
        try:
            sock.sendto(header, (address, 0))
            sent += 1
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
        if n % 1000 == 0 and time.monotonic() > until:
            break
    sock.close()
    return {"sent": sent}


def close_all(_):
    for sock in sockets.values():
        sock.close()
    sockets.clear()
    return {"closed": True}


def close(request):
    sockets.pop(request["socket"]).close()
    return {}


does = {
    "open": open_socket, "connect": connect, "send": send, "receive": receive, "drain": drain, "failure": failure,
    "capture": capture, "captured": captured, "flood": flood, "close": close,
    "close_all": close_all,
}
for line in sys.stdin:
    wanted = json.loads(line)
    try:
        result = does[wanted["do"]](wanted)
    except OSError as error:
        result = {"error": errno.errorcode.get(error.errno, str(error))}
    print(json.dumps(result), flush=True)
