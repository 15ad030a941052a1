#!/bin/busybox sh
# shellcheck shell=dash
# The init of a guest that has a Debian on its disk: starts that, with the kernel's modules loaded, and the trial of our package below
# /run, where nothing of it stays.
/bin/busybox --install -s /bin
export PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
dmesg -n 4
while read -r module; do insmod "/modules/$module.ko"; done </modules/order
mkdir /disk
mount -t ext4 /dev/vda /disk || poweroff -f

mount -t tmpfs -o mode=0755 run /disk/run
trial=/disk/run/trial
mkdir -p $trial /disk/run/systemd/system/multi-user.target.wants
cp "$(readlink -f "$(command -v node)")" $trial/node
mv /ilm /packages $trial/
cat >/disk/run/systemd/system/trial.service <<'END'
[Service]
ExecStart=/run/trial/node /run/trial/ilm/dist/tools/kernels/guest-package.js
StandardOutput=file:/dev/console
StandardError=file:/dev/console
END
ln -s ../trial.service /disk/run/systemd/system/multi-user.target.wants/trial.service
# What it says is on the console, which a getty would take for itself.
ln -s /dev/null "/disk/run/systemd/system/serial-getty@$(sed 's/.*console=\([^ ]*\).*/\1/' /proc/cmdline).service"
umount /proc /sys
mount --move /dev /disk/dev
exec switch_root /disk /sbin/init
