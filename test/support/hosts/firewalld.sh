#!/bin/sh
# firewalld with its zone "public", which is the default, and the ports of the arguments open in it. Its command talks to a polkit
# that is not there, so the ports are put into the configuration.
set -eu
options=
for port in "$@"; do options="$options --add-port=$port/tcp --add-port=$port/udp"; done
# shellcheck disable=SC2086 # options
firewall-offline-cmd $options
start_bus
firewalld --nofork --nopid >/mnt/log 2>&1 &
echo $! >/run/firewalld.pid
# The rules of the zones are the last.
await_done $! nft list chain inet firewalld filter_IN_public_allow
