#!/bin/sh
# ufw as it is enabled, with the ports of the arguments allowed.
set -eu
for file in before before6 after after6 user user6; do
  [ -e "/etc/ufw/$file.rules" ] || cp "/usr/share/ufw/iptables/$file.rules" /etc/ufw/
done
[ -e /etc/ufw/ufw.conf ] || cp /usr/share/ufw/ufw.conf /etc/ufw/
ufw --force enable
for port in "$@"; do ufw allow "$port"; done
