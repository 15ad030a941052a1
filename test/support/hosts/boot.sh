#!/bin/sh
# Boots systemd over the machine's own root or another, in the namespaces that test/support/booted-host.ts has made:
#
#   boot.sh ROOT FOLDER FILES FILTER PATH...
#
# ROOT is / or the folder of a Debian; FOLDER is empty and takes the mounts; what is in FILES is put into the root; FILTER is for --system-call-filter=; each PATH is bound into the host, which would
# not see it otherwise. What is written goes to memory. Nothing that the machine has enabled starts: the administrator's
# units are not there, and what is booted is a target of our own.
set -eu

lower=$1
folder=$2
files=$3
filter=$4
shift 4

mount --make-rprivate /
# Two hosts do not meet, and a killed one leaves nothing.
mkdir -p /run/systemd
mount -t tmpfs tmpfs /run/systemd
mount -t tmpfs tmpfs "$folder"
cd "$folder"
mkdir cgroup upper work root
# Beside hierarchies of version 1, systemd-nspawn would leave folders in them. A new mount of version 2 would change the
# options of the machine's.
mount --bind "$(findmnt -nro TARGET -t cgroup2 --first-only)" cgroup
umount --recursive --lazy /sys/fs/cgroup
mount --bind cgroup /sys/fs/cgroup

mount -t overlay overlay -o "lowerdir=$lower,upperdir=$PWD/upper,workdir=$PWD/work" root
[ -e root/lib/systemd/systemd ] || {
  echo "systemd is not on the file system of $lower: a host cannot be booted over it" >&2
  exit 1
}
rm -rf root/etc/systemd/system root/etc/systemd/system.conf.d root/etc/systemd/system-generators
mkdir root/etc/systemd/system
# The machine's devices are not the host's.
: >root/etc/fstab
# Two hosts with one machine-id would write to one journal.
tr -d - </proc/sys/kernel/random/uuid >root/etc/machine-id
cat >root/etc/systemd/system/booted-host.target <<END
[Unit]
Description=Nothing but the basic system
Requires=basic.target
After=basic.target
AllowIsolate=yes
END
# Hosts have it from systemd, and containers do not; a unit of the type mount is refused for this place.
cat >root/etc/systemd/system/booted-host-bpf.service <<END
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=mount -t bpf -o mode=700 bpf /sys/fs/bpf
END
mkdir root/etc/systemd/system/sysinit.target.wants
ln -s ../booted-host-bpf.service root/etc/systemd/system/sysinit.target.wants/
# They would write to what the machine has only once.
for unit in systemd-sysctl systemd-modules-load systemd-udevd systemd-udev-trigger systemd-timesyncd; do
  ln -s /dev/null "root/etc/systemd/system/$unit.service"
done

cp -a "$files/." root/
# An empty file would be a unit without sections; what is wanted is a link.
for unit in root/etc/systemd/system/booted-host.target.wants/*; do
  if [ -e "$unit" ]; then ln -sf "../${unit##*/}" "$unit"; fi
done

for path in "$@"; do
  set -- "$@" "--bind-ro=$path"
  shift
done
# As a host and not as a container, it may do everything; the tests are root on the machine anyway.
exec systemd-nspawn --quiet --register=no --keep-unit --link-journal=no --resolv-conf=off --timezone=off \
  --capability=all --system-call-filter="$filter" --console=pipe --machine=booted-host --directory="$folder/root" \
  --network-namespace-path=/proc/self/ns/net "$@" --boot -- --unit=booted-host.target --show-status=yes
