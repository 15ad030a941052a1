#!/bin/sh
# podman with a network of both families, and a container "web" that publishes port 8080 as its own port 80. It asks for no limits
# beyond those that it has, which not every machine's root may raise.
set -eu
for folder in bin proc sys dev etc run tmp; do mkdir -p "/mnt/rootfs/$folder"; done
cp "$(command -v busybox)" /mnt/rootfs/bin/
printf '[network]\nnetwork_backend = "netavark"\n[engine]\nruntime = "crun"\n' >/etc/containers/containers.conf
locked=$(prlimit --memlock --output HARD --noheadings --raw)
[ "$locked" != unlimited ] || locked=-1
podman="podman --cgroup-manager=cgroupfs --events-backend=file"
$podman network create --ipv6 --subnet 10.99.0.0/24 --subnet fd00:90d::/64 pods
$podman run -d --name web --network pods --log-driver=none --cgroups=disabled \
  --ulimit "memlock=$locked:$locked" --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \
  -p 8080:80 -p 8080:80/udp --rootfs /mnt/rootfs /bin/busybox sleep 1000000
