#!/usr/bin/env python3
"""Lets through what a rule of netfilter gives it (`-j NFQUEUE --queue-num 7`), from the CPU that it runs on. Prints "ready", and a line for each packet."""
import socket
import struct

QUEUE = 7
NFNL_SUBSYS_QUEUE = 3
NFQNL_MSG_PACKET, NFQNL_MSG_VERDICT, NFQNL_MSG_CONFIG = range(3)
NFQA_PACKET_HDR, NFQA_VERDICT_HDR = 1, 2
NFQA_CFG_CMD, NFQA_CFG_PARAMS = 1, 2
NFQNL_CFG_CMD_BIND, NFQNL_COPY_META, NF_ACCEPT = 1, 1, 1


def send(netlink, kind, attribute, payload):
    body = struct.pack("=BBH", socket.AF_UNSPEC, 0, socket.htons(QUEUE))
    body += struct.pack("=HH", 4 + len(payload), attribute) + payload + bytes(-len(payload) % 4)
    netlink.send(struct.pack("=IHHII", 16 + len(body), NFNL_SUBSYS_QUEUE << 8 | kind, 1, 0, 0) + body)


def attributes(data):
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        yield kind & 0x7FFF, data[4:length]
        data = data[(length + 3) & ~3 :]


def main():
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    netlink.bind((0, 0))
    send(netlink, NFQNL_MSG_CONFIG, NFQA_CFG_CMD, struct.pack(">BBH", NFQNL_CFG_CMD_BIND, 0, 0))
    send(netlink, NFQNL_MSG_CONFIG, NFQA_CFG_PARAMS, struct.pack(">IB", 0, NFQNL_COPY_META))
    print("ready", flush=True)
    while True:
        data = netlink.recv(65536)
        while len(data) >= 16:
            length, kind = struct.unpack_from("=IH", data)
            if kind == NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET:
                found = dict(attributes(data[20:length]))
                (number,) = struct.unpack_from(">I", found[NFQA_PACKET_HDR])
                send(netlink, NFQNL_MSG_VERDICT, NFQA_VERDICT_HDR, struct.pack(">II", NF_ACCEPT, number))
                print("passed", flush=True)
            data = data[(length + 3) & ~3 :]


main()
