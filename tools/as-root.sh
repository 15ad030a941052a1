#!/bin/sh
# Runs a command as root, through sudo when need be: BPF programs, network namespaces and real daemons ask for it.
set -eu
[ "$(id -u)" -ne 0 ] || exec "$@"
if ! command -v sudo >/dev/null 2>&1; then
  echo "make: this needs root, and sudo is not installed: run it as root" >&2
  exit 1
fi
# sudo replaces PATH, and node may be anywhere.
exec sudo env "PATH=$PATH" "CI=${CI:-}" "$@"
