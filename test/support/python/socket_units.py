#!/usr/bin/env python3
"""What systemd does for socket units with ReusePort=yes and one ListenStream: socket_units.py ADDRESS PORT COMMAND...

Each unit has a socket of its own in one SO_REUSEPORT group, and a daemon that gets it as descriptor 3 (sd_listen_fds(3)) and
is told by UNIT whose it is. The manager keeps the socket while the daemon restarts. Its input is lines: start UNIT, restart
UNIT (SIGUSR1, at which the daemon finishes what it has), stop UNIT (and close the socket). Each gets a line: done.
"""
import os
import signal
import socket
import subprocess
import sys

address, port, *command = sys.argv[1:]
sockets, daemons = {}, {}
# The place that a child's socket takes, so that nothing of ours lies there.
assert os.open(os.devnull, os.O_RDONLY) == 3


def run(unit):
    def hand_over():
        os.dup2(sockets[unit].fileno(), 3, inheritable=True)

    environment = {**os.environ, "LISTEN_FDS": "1", "UNIT": unit}
    daemons[unit] = subprocess.Popen(command, preexec_fn=hand_over, env=environment, close_fds=False)


def end(unit):
    daemons[unit].send_signal(signal.SIGUSR1)
    daemons[unit].wait()


for line in sys.stdin:
    verb, unit = line.split()
    if verb == "start":
        sockets[unit] = sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address, int(port)))
        sock.listen(1024)
        run(unit)
    elif verb == "restart":
        end(unit)
        run(unit)
    else:
        end(unit)
        sockets.pop(unit).close()
    print("done", flush=True)
for daemon in daemons.values():
    daemon.kill()
