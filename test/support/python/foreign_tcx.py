#!/usr/bin/env python3
"""Attaches a program that is not ilm's to an interface until its input ends: INTERFACE ingress|egress VERDICT first|last."""
import socket
import sys

from stranger import attach_until_input_ends

BPF_PROG_TYPE_SCHED_CLS = 3
ATTACH_TYPES = {"ingress": 46, "egress": 47}
FLAGS = {"first": 8, "last": 16}  # BPF_F_BEFORE, BPF_F_AFTER

interface, direction, verdict, place = sys.argv[1:]
attach_until_input_ends(
    BPF_PROG_TYPE_SCHED_CLS,
    int(verdict),
    socket.if_nametoindex(interface),
    ATTACH_TYPES[direction],
    flags=FLAGS[place],
)
