#!/bin/busybox sh
# shellcheck shell=dash
# The guest's init: what a booted Debian has and the tests need, then the tests, then off.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t securityfs securityfs /sys/kernel/security
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf -o mode=0700 bpf /sys/fs/bpf
dmesg -n 4

ip link set lo up
ip addr add 192.0.2.1/32 dev lo
ip -6 addr add 2001:db8::1/128 dev lo
ip -6 addr add fd5e:ed00::20/128 dev lo
ip -6 addr add fd5e:ed00::21/128 dev lo

# The kernel's own modules; what the package does not have is not there, and the tests say so.
while read -r module; do insmod "/modules/$module.ko"; done </modules/order
# Two more interfaces, for SO_BINDTODEVICE and VRF. (iproute2's ip: busybox's knows no VRF.)
if /sbin/ip link add veth0 type veth peer name veth1; then
  /sbin/ip link set veth0 up
  /sbin/ip link set veth1 up
fi
if /sbin/ip link add vrf0 type vrf table 100; then
  /sbin/ip link set vrf0 up
  /sbin/ip addr add 192.0.2.65/32 dev vrf0
fi

# A cgroup of its own says how much memory all of it took.
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/guest
echo $$ >/sys/fs/cgroup/guest/cgroup.procs

node --max-old-space-size=400 /ilm/dist/tools/kernels/guest.js
echo "@ilm|exit|$?"
poweroff -f
