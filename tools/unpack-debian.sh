#!/bin/sh
# Makes the root of a fresh Debian for the tests of the packages: tools/unpack-debian.sh SUITE
# Prints its path. Once for each suite: it is kept, nothing writes to it, and whoever asks meanwhile waits.
#
# ILM_DEBIAN_CACHE says where; default: ilm-debian in the cache folder.
set -eu

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C.UTF-8
export PATH LC_ALL

suite=$1
cache=${ILM_DEBIAN_CACHE:-${XDG_CACHE_HOME:-/var/cache}/ilm-debian}
# What each server has, what our package depends on, and a daemon for it to bring connections to.
wanted='systemd,systemd-sysv,iproute2,libbpf1,man-db,python3,procps'
root=$cache/$suite

mkdir -p "$cache"
exec 9>"$cache/$suite.lock"
flock 9
if [ "$wanted" != "$(cat "$root.wanted" 2>/dev/null)" ]; then
  rm -rf "$root" "$root.new" "$root.wanted"
  debootstrap --variant=minbase --include="$wanted" "$suite" "$root.new" >"$root.log" 2>&1 || {
    echo "debootstrap failed: see $root.log" >&2
    exit 1
  }
  rm -rf "$root.new/var/cache/apt/archives"/*.deb "$root.new/var/lib/apt/lists"/*
  mv "$root.new" "$root"
  printf '%s' "$wanted" >"$root.wanted"
fi
echo "$root"
