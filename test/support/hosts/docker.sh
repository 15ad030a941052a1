#!/bin/sh
# Docker with IPv6, and a container "web" that publishes ports 8080 and 8081 as its own port 80. Argument: true or false, whether Docker's
# proxy listens on published ports.
set -eu
mkdir -p /var/lib/docker
mount -t tmpfs tmpfs /var/lib/docker
dockerd --exec-opt native.cgroupdriver=cgroupfs --userland-proxy="$1" \
  --ipv6 --fixed-cidr-v6 fd00:d0c::/64 --experimental --ip6tables >/mnt/log 2>&1 &
await_done $! docker version
mkdir -p /mnt/image/bin
cp "$(command -v busybox)" /mnt/image/bin/
tar -C /mnt/image -c . | docker import - box
docker run -d --name web -p 8080:80 -p 8080:80/udp -p 8081:80 box /bin/busybox sleep 1000000
