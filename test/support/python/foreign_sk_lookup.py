#!/usr/bin/env python3
"""Attaches an sk_lookup program that is not ilm's (it passes everything) to its network namespace until its input ends."""
import os

from stranger import attach_until_input_ends

BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP = 30, 36
SK_PASS = 1

netns = os.open("/proc/self/ns/net", os.O_RDONLY)
attach_until_input_ends(BPF_PROG_TYPE_SK_LOOKUP, SK_PASS, netns, BPF_SK_LOOKUP, load_as=BPF_SK_LOOKUP)
