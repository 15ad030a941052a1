#!/bin/sh
# Unpacks the tools that test/netns/hosts-*.test.ts run beside ilm, as root, into a folder of their own: nothing is installed.
#
#   tools/unpack-hosts.sh
#
# Installed, they would change the machine: ufw puts out iptables-persistent, docker.io puts out docker-ce, and systemd-resolved
# takes /etc/resolv.conf. So no maintainer script of theirs is run; the tests lay the folder over /usr, /etc and /var in a mount
# namespace (test/support/host.ts). What the machine has already is not fetched: it is there to be laid over.
#
# ILM_HOSTS_CACHE says where to; default: ilm-hosts in the cache folder.
set -eu

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C.UTF-8
export PATH LC_ALL

# The second line has names that only some suites of Debian know.
wanted='busybox-static crun docker.io firewalld keepalived libvirt-clients libvirt-daemon netavark openvpn podman systemd-resolved ufw
docker-cli libvirt-daemon-driver-network'
cache=${ILM_HOSTS_CACHE:-${XDG_CACHE_HOME:-/var/cache}/ilm-hosts}
tree=$cache/tree

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
# Whoever came first has done it.
[ "$wanted" != "$(cat "$tree/wanted" 2>/dev/null)" ] || exit 0

echo "setup: unpacking Docker, podman, libvirt, ufw, firewalld, keepalived, OpenVPN and systemd-resolved, for the tests alone"
apt-get -qq -o Acquire::Retries=3 update </dev/null
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/archives/partial" "$work/tree/usr/bin" "$work/tree/usr/sbin" "$work/tree/usr/lib" "$work/tree/usr/lib64" \
  "$work/tree/etc" "$work/tree/var"
for folder in bin sbin lib lib64; do ln -s usr/$folder "$work/tree/$folder"; done

known=
for package in $wanted; do
  if apt-cache show "$package" >/dev/null 2>&1; then known="$known $package"; fi
done
# With all that they need and the machine lacks. Whom they would put out matters not: it stops when all is there.
# shellcheck disable=SC2086 # a list of package names
apt-get -qq -y --download-only --no-install-recommends -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 \
  -o APT::Sandbox::User=root -o Dir::Cache::archives="$work/archives" install $known </dev/null >/dev/null
# Two at a time: most of it is decompression. /bin and the like are links, as on a machine.
# shellcheck disable=SC2016 # for the inner shell
printf '%s\n' "$work"/archives/*.deb | xargs -P 2 -I FILE sh -c 'dpkg-deb --fsys-tarfile "$1" |
  tar -x --keep-directory-symlink --exclude "./usr/share/doc/*" --exclude "./usr/share/man/*" --exclude "./usr/share/locale/*" \
    -C "$2"' sh FILE "$work/tree"
printf '%s' "$wanted" >"$work/tree/wanted"
rm -rf "$tree"
mv "$work/tree" "$tree"
