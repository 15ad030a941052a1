#!/bin/sh
# One end of an OpenVPN tunnel between two hosts, with a shared key. Arguments: the key's file, the hosts' own and other addresses, and
# those in the tunnel: IPv4, IPv6.
set -eu
[ -s "$1" ] || openvpn --genkey secret "$1"
mkdir -p /run/openvpn
openvpn --dev tun7 --secret "$1" --cipher AES-256-CBC --local "$2" --remote "$3" \
  --ifconfig "$4" "$5" --ifconfig-ipv6 "$6/64" "$7" --ping 1 >/mnt/log 2>&1 &
await_done $! sh -c "ip addr show dev tun7 | grep -F $6 | grep -v tentative"
