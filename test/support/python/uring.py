"""Sockets that are made, bound and told to listen by io_uring, whose own thread makes the calls (IORING_SETUP_SQPOLL)."""
import ctypes
import mmap
import os
import socket
import struct
import time

SYS_SETUP, SYS_ENTER = 425, 426
SQPOLL, GETEVENTS, SQ_WAKEUP = 2, 1, 2
OP_SOCKET, OP_BIND, OP_LISTEN = 45, 56, 57
OFFSET_SQ, OFFSET_CQ, OFFSET_SQES = 0, 0x8000000, 0x10000000
libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    result = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Ring:
    def __init__(self):
        # struct io_uring_params (include/uapi/linux/io_uring.h)
        parameters = ctypes.create_string_buffer(struct.pack("=10I", 0, 0, SQPOLL, 0, 1000, *[0] * 5), 120)
        self.fd = call(SYS_SETUP, 4, parameters)
        fields = struct.unpack("=10I8IQ8IQ", parameters.raw)
        entries, cq_entries = fields[:2]
        sq, cq = fields[10:19], fields[19:28]
        self.sq_tail, self.sq_mask, self.sq_array = sq[1], sq[2], sq[6]
        self.cq_head, self.cq_tail, self.cq_mask, self.cqes = cq[0], cq[1], cq[2], cq[5]
        self.sq = mmap.mmap(self.fd, sq[6] + entries * 4, offset=OFFSET_SQ)
        self.cq = mmap.mmap(self.fd, cq[5] + cq_entries * 16, offset=OFFSET_CQ)
        self.entries = mmap.mmap(self.fd, entries * 64, offset=OFFSET_SQES)

    def do(self, opcode, fd, off=0, addr=0, length=0):
        tail = struct.unpack_from("=I", self.sq, self.sq_tail)[0]
        index = tail & struct.unpack_from("=I", self.sq, self.sq_mask)[0]
        self.entries[index * 64 : index * 64 + 64] = struct.pack("=BBHiQQII", opcode, 0, 0, fd, off, addr, length, 0).ljust(64, b"\0")
        struct.pack_into("=I", self.sq, self.sq_array + index * 4, index)
        struct.pack_into("=I", self.sq, self.sq_tail, tail + 1)
        head = struct.unpack_from("=I", self.cq, self.cq_head)[0]
        call(SYS_ENTER, self.fd, 1, 1, GETEVENTS | SQ_WAKEUP, None, 0)
        while struct.unpack_from("=I", self.cq, self.cq_tail)[0] == head:
            time.sleep(0.001)
        at = self.cqes + (head & struct.unpack_from("=I", self.cq, self.cq_mask)[0]) * 16
        result = struct.unpack_from("=i", self.cq, at + 8)[0]
        struct.pack_into("=I", self.cq, self.cq_head, head + 1)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result


class Socket(socket.socket):
    """Whose bind() and listen() the ring does."""

    def bind(self, endpoint):
        host = socket.inet_pton(self.family, endpoint[0])
        if self.family == socket.AF_INET6:
            packed = struct.pack("=H", self.family) + struct.pack("!HI", endpoint[1], 0) + host + bytes(4)
        else:
            packed = struct.pack("=H", self.family) + struct.pack("!H", endpoint[1]) + host + bytes(8)
        buffer = ctypes.create_string_buffer(packed, len(packed))
        self.ring.do(OP_BIND, self.fileno(), off=len(packed), addr=ctypes.addressof(buffer))

    def listen(self, backlog):
        self.ring.do(OP_LISTEN, self.fileno(), length=backlog)


def make(family, kind, protocol):
    ring = Ring()
    sock = Socket(fileno=ring.do(OP_SOCKET, family, off=kind, length=protocol))
    sock.ring = ring
    return sock
