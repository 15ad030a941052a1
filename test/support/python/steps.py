#!/usr/bin/env python3
"""Runs a command and notes each of its system calls that changes something: steps.py FILE [--kill N] [--wait] COMMAND...

FILE gets the calls as a JSON list. With --kill N the command is killed instead of its Nth step, which it then has not made:
the kernel skips a call whose process was killed while its tracer looked at it (kernel/seccomp.c, SECCOMP_RET_TRACE).
Each SIGUSR1 writes the steps so far and starts over, reported as "counting" on standard output; with --wait the count for
--kill begins there. A filter stops the command at these calls only, so it goes about as fast as without.
"""
import ctypes
import json
import os
import platform
import re
import signal
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long

PTRACE_CONT, PTRACE_SEIZE, PTRACE_GET_SYSCALL_INFO = 7, 0x4206, 0x420E
# Children of every kind, seccomp's stops, and no process outlives the tracer.
OPTIONS = 0x2 | 0x4 | 0x8 | 0x80 | 0x100000
PTRACE_EVENT_SECCOMP = 7
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
SECCOMP_RET_TRACE, SECCOMP_RET_ALLOW = 0x7FF00000, 0x7FFF0000
BPF_LD_W_ABS, BPF_JEQ, BPF_JSET, BPF_RET = 0x20, 0x15, 0x45, 0x06
O_CREAT = 0o100

# Name -> number, and which arguments are paths.
CALLS = {
    "x86_64": {
        "bpf": (321, ()), "sendto": (44, ()), "ftruncate": (77, ()), "mount": (165, (1,)), "umount2": (166, (0,)),
        "rename": (82, (0, 1)), "renameat": (264, (1, 3)), "renameat2": (316, (1, 3)),
        "unlink": (87, (0,)), "unlinkat": (263, (1,)), "rmdir": (84, (0,)), "mkdir": (83, (0,)), "mkdirat": (258, (1,)),
        "link": (86, (1,)), "linkat": (265, (3,)), "symlink": (88, (1,)), "symlinkat": (266, (2,)),
        "chmod": (90, (0,)), "fchmod": (91, ()), "fchmodat": (268, (1,)), "open": (2, (0,)), "openat": (257, (1,)),
    },
    "aarch64": {
        "bpf": (280, ()), "sendto": (206, ()), "ftruncate": (46, ()), "mount": (40, (1,)), "umount2": (39, (0,)),
        "renameat": (38, (1, 3)), "renameat2": (276, (1, 3)), "unlinkat": (35, (1,)), "mkdirat": (34, (1,)),
        "linkat": (37, (3,)), "symlinkat": (36, (2,)), "fchmod": (52, ()), "fchmodat": (53, (1,)), "openat": (56, (1,)),
    },
}[platform.machine()]
NAMES = list(CALLS)

# enum bpf_cmd of include/uapi/linux/bpf.h; those that only read are no steps.
BPF_COMMANDS = (
    "MAP_CREATE MAP_LOOKUP_ELEM MAP_UPDATE_ELEM MAP_DELETE_ELEM MAP_GET_NEXT_KEY PROG_LOAD OBJ_PIN OBJ_GET PROG_ATTACH "
    "PROG_DETACH PROG_TEST_RUN PROG_GET_NEXT_ID MAP_GET_NEXT_ID PROG_GET_FD_BY_ID MAP_GET_FD_BY_ID OBJ_GET_INFO_BY_FD "
    "PROG_QUERY RAW_TRACEPOINT_OPEN BTF_LOAD BTF_GET_FD_BY_ID TASK_FD_QUERY MAP_LOOKUP_AND_DELETE_ELEM MAP_FREEZE "
    "BTF_GET_NEXT_ID MAP_LOOKUP_BATCH MAP_LOOKUP_AND_DELETE_BATCH MAP_UPDATE_BATCH MAP_DELETE_BATCH LINK_CREATE "
    "LINK_UPDATE LINK_GET_FD_BY_ID LINK_GET_NEXT_ID ENABLE_STATS ITER_CREATE LINK_DETACH PROG_BIND_MAP"
).split()
READING = (
    "MAP_LOOKUP_ELEM MAP_GET_NEXT_KEY OBJ_GET PROG_TEST_RUN PROG_GET_NEXT_ID MAP_GET_NEXT_ID PROG_GET_FD_BY_ID "
    "MAP_GET_FD_BY_ID OBJ_GET_INFO_BY_FD PROG_QUERY BTF_GET_FD_BY_ID TASK_FD_QUERY BTF_GET_NEXT_ID MAP_LOOKUP_BATCH "
    "LINK_GET_FD_BY_ID LINK_GET_NEXT_ID"
).split()


def instruction(code, k, yes=0, no=0):
    return struct.pack("HBBI", code, yes, no, k)


def argument(index):
    """Loads the lower half of an argument (struct seccomp_data, little endian)."""
    return instruction(BPF_LD_W_ABS, 16 + 8 * index)


def seccomp_filter():
    """Stops at what may be a step, with the place in NAMES as data; all else goes on."""
    code = b""
    for index, name in enumerate(NAMES):
        stop = instruction(BPF_RET, SECCOMP_RET_TRACE | index)
        allow = instruction(BPF_RET, SECCOMP_RET_ALLOW)
        if name == "bpf":
            commands = [BPF_COMMANDS.index(command) for command in READING]
            body = argument(0)
            for place, command in enumerate(commands):
                body += instruction(BPF_JEQ, command, yes=len(commands) - place)
            body += stop + allow
        elif name in ("open", "openat"):
            body = argument(1 if name == "open" else 2) + instruction(BPF_JSET, O_CREAT, no=1) + stop + allow
        else:
            body = stop
        number = CALLS[name][0]
        code += instruction(BPF_LD_W_ABS, 0) + instruction(BPF_JEQ, number, no=len(body) // 8) + body
    return code + instruction(BPF_RET, SECCOMP_RET_ALLOW)


def install(code):
    program = ctypes.create_string_buffer(code)
    header = ctypes.create_string_buffer(struct.pack("H6xQ", len(code) // 8, ctypes.addressof(program)))
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_void_p(ctypes.addressof(header)), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def ptrace(request, pid, address=0, data=0):
    if libc.ptrace(request, pid, address, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def memory(pid, address, length):
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        return os.pread(file.fileno(), length, address)


def text(pid, address):
    """A read ends where the memory does. A path through a descriptor is told as where that leads."""
    path = memory(pid, address, 4096).split(b"\0")[0].decode()
    through = re.match(r"/proc/self/fd/(\d+)/", path)
    return path if through is None else os.path.join(os.readlink(f"/proc/{pid}/fd/{through[1]}"), path[through.end():])


def step_at(pid):
    """The call at which a tracee has stopped, as text; None when it only asks."""
    # struct ptrace_syscall_info: op, arch, two pointers, then nr, six arguments and the filter's data.
    info = ctypes.create_string_buffer(128)
    ptrace(PTRACE_GET_SYSCALL_INFO, pid, 128, ctypes.addressof(info))
    arguments = struct.unpack_from("6Q", info, 32)
    name = NAMES[struct.unpack_from("I", info, 80)[0]]
    paths = [text(pid, arguments[index]) for index in CALLS[name][1]]
    if name == "bpf":
        command = arguments[0] & 0xFFFFFFFF
        name = BPF_COMMANDS[command] if command < len(BPF_COMMANDS) else f"bpf {command}"
        if name == "OBJ_PIN":
            paths = [text(pid, struct.unpack("Q", memory(pid, arguments[1], 8))[0])]
    elif name == "sendto":
        # rtnetlink(7): of each four kinds of messages the third asks.
        kind = struct.unpack_from("H", memory(pid, arguments[1], 6), 4)[0]
        if kind % 4 == 2:
            return None
        name = f"netlink {kind}"
    return " ".join([name, *paths])


class Tracer:
    def __init__(self, file, kill, waiting):
        self.file, self.kill, self.waiting, self.steps = file, kill, waiting, []
        self.tracees = set()

    def write(self):
        with open(self.file, "w") as file:
            json.dump(self.steps, file)

    def begin(self, *_):
        self.write()
        self.steps, self.waiting = [], False
        os.write(1, b"counting\n")

    def start(self, command):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writer)
            os.read(reader, 1)
            install(seccomp_filter())
            os.execvp(command[0], command)
        ptrace(PTRACE_SEIZE, pid, 0, OPTIONS)
        self.tracees.add(pid)
        os.close(reader)
        os.close(writer)
        return pid

    def run(self, command):
        main = self.start(command)
        signal.signal(signal.SIGUSR1, self.begin)
        for forwarded in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(forwarded, lambda number, _: os.kill(main, number))
        result = None
        while True:
            try:
                pid, status = os.waitpid(-1, 0x40000000)  # __WALL: threads too
            except ChildProcessError:
                break
            if os.WIFSTOPPED(status):
                self.tracees.add(pid)
                try:
                    self.stopped(pid, status)
                except ProcessLookupError:
                    pass  # killed meanwhile: its end is told next
            else:
                self.tracees.discard(pid)
                if pid == main:
                    result = status
        self.write()
        return os.waitstatus_to_exitcode(result)

    def stopped(self, pid, status):
        event, number = status >> 16, os.WSTOPSIG(status)
        if event == PTRACE_EVENT_SECCOMP:
            step = step_at(pid)
            if step is not None:
                self.steps.append(step)
                if len(self.steps) == self.kill and not self.waiting:
                    for tracee in self.tracees:
                        os.kill(tracee, signal.SIGKILL)
                    return
        ptrace(PTRACE_CONT, pid, 0, number if event == 0 else 0)


def main():
    file, *rest = sys.argv[1:]
    kill, waiting = 0, False
    while rest[0].startswith("--"):
        option = rest.pop(0)
        if option == "--kill":
            kill = int(rest.pop(0))
        else:
            waiting = True
    code = Tracer(file, kill, waiting).run(rest)
    sys.exit(code if code >= 0 else 128 - code)


main()
