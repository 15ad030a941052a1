#!/bin/sh
# Runs tools of others in the namespaces that test/support/host.ts has made, over /usr and /etc with what was unpacked:
#
#   enter.sh TREE TOOLS.sh [ARGUMENT]...
#
# Waits for a line, prepares, runs the script of the tools in the same shell, prints "ready", and stays.
set -eu

tree=$1
tools=$2
shift 2
read -r _

mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
for folder in usr etc; do
  mkdir "/mnt/$folder" "/mnt/$folder.work"
  mount -t overlay overlay -o "lowerdir=$tree/$folder:/$folder,upperdir=/mnt/$folder,workdir=/mnt/$folder.work" "/$folder"
done
# The tree may be below /var, which no overlay may hold together with itself.
cp -a "$tree/var" /mnt/var
mount -t tmpfs tmpfs /var
cp -a /mnt/var/. /var/
ln -s /run /var/run
mkdir -p /var/lib /var/log /var/cache /var/tmp
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/dbus /run/systemd
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# Where a process is, no controller can be handed on: none stays at the top.
mkdir -p /sys/fs/cgroup/tools
echo 1 >/sys/fs/cgroup/tools/cgroup.procs

# What maintainer scripts would have done.
for name in iptables ip6tables ebtables arptables; do
  for suffix in "" -save -restore; do
    command -v "$name$suffix" >/dev/null || ln -s xtables-nft-multi "/usr/sbin/$name$suffix"
  done
done

# add_user NAME
add_user() {
  getent passwd "$1" >/dev/null || echo "$1:x:64055:64055::/:/usr/sbin/nologin" >>/etc/passwd
  getent group "$1" >/dev/null || echo "$1:x:64055:" >>/etc/group
}

# await_done PID COMMAND...: until the command succeeds; an error when the process has ended.
await_done() {
  process=$1
  shift
  until "$@" >/dev/null 2>&1; do
    kill -0 "$process" 2>/dev/null || { cat /mnt/log; exit 1; }
    sleep 0.05
  done
}

# A bus for those that will not start without one, and no process on it.
start_bus() {
  cat >/mnt/bus.conf <<END
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
  </policy>
</busconfig>
END
  dbus-daemon --config-file=/mnt/bus.conf --fork --nopidfile
}

# shellcheck source=/dev/null
. "$tools"
echo ready
exec sleep infinity
