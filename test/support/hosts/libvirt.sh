#!/bin/sh
# libvirt's network "default" as it is shipped, with IPv6 besides. The namespace's guest is on the bridge by a cable.
set -eu
for user in libvirt-qemu libvirt-dnsmasq kvm libvirt dnsmasq; do add_user $user; done
mkdir -p /run/libvirt /var/lib/libvirt/dnsmasq
libvirtd >/mnt/log 2>&1 &
await_done $! virsh -c network:///system net-list --all
cat >/mnt/default.xml <<END
<network>
  <name>default</name>
  <forward mode='nat'><nat ipv6='yes'/></forward>
  <bridge name='virbr0' stp='on' delay='0'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp>
  </ip>
  <ip family='ipv6' address='fd00:122::1' prefix='64'/>
</network>
END
virsh -c network:///system net-define /mnt/default.xml
virsh -c network:///system net-start default
