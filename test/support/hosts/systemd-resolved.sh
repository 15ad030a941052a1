#!/bin/sh
# systemd-resolved, which listens on 127.0.0.53%lo:53 and 127.0.0.54:53. Its name servers are nobody.
set -eu
add_user systemd-resolve
mkdir -p /run/systemd/resolve
chown systemd-resolve:systemd-resolve /run/systemd /run/systemd/resolve
start_bus
/usr/lib/systemd/systemd-resolved >/mnt/log 2>&1 &
await_done $! sh -c "ss -Hlnt src 127.0.0.53 | grep -q ."
