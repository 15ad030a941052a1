#!/usr/bin/env bash
# Boots real Debian kernels under QEMU (software emulation, no KVM needed) and proves in each what ilm promises; the result
# goes into docs/kernels.md. As root: `make test-kernels`, or `make test-kernels ARGS="6.1 7.x"`.
#
#   ILM_KERNELS_CACHE    packages, the tools' chroot, modules built, logs; default ${XDG_CACHE_HOME:-/var/cache}/ilm-kernels
#   ILM_KERNELS_PARTS    of core, host, owners, rewrite, devices, module, engine, oracle, load, cost, removal, package, with commas;
#                        default all, but package for arm64 only. Other rows of the table stay
#   ILM_KERNELS_TIMEOUT  seconds for one guest; default 1800 (some 150 s of CPU, on a machine that has nothing else to do)
#   ILM_KERNELS_MEMORY   of the guest, MiB; default 2048
#   ILM_KERNELS_NICE     of the compiler and the emulator; default 15
#
# Guests for arm64 are emulated too; what they need comes out of Debian's arm64 packages, unpacked. The part `package` is a guest of its
# own, with a whole Debian on its disk.
#
# Nothing is installed on this machine for it but debootstrap, cpio, xz and a static busybox: QEMU, the compiler and the
# kernels' headers live in a small Debian 13 in the cache (Debian 12's QEMU 7.2 corrupts memory under newer kernels).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
cache=${ILM_KERNELS_CACHE:-${XDG_CACHE_HOME:-/var/cache}/ilm-kernels}
limit=${ILM_KERNELS_TIMEOUT:-1800}
memory=${ILM_KERNELS_MEMORY:-2048}
nice=${ILM_KERNELS_NICE:-15}
bench=$cache/bench
BENCH_PACKAGES=make,gcc,gcc-aarch64-linux-gnu,libelf1t64,pahole,dkms,openssl,qemu-system-x86,qemu-system-arm,xz-utils,e2fsprogs
# What sock_diag asks; devices and what they carry.
GUEST_MODULES=(tcp_diag veth vrf 8021q ipip ip_gre wireguard nf_tables nft_chain_nat bonding macvlan ipvlan geneve l2tp_netlink l2tp_eth
  ovpn chacha chacha20poly1305)
# By architecture, as Debian has it.
declare -A emulators=([amd64]=qemu-system-x86_64 [arm64]=qemu-system-aarch64)
# Pointer authentication by QEMU's own hash: the architecture's takes most of the time.
declare -A machines=([amd64]='-cpu max' [arm64]='-M virt -cpu max,pauth-impdef=on')
# Of a guest with a disk.
DISK_MODULES=(virtio_pci virtio_blk ext4)
declare -A tools=([amd64]='' [arm64]=aarch64-linux-gnu-)
declare -A consoles=([amd64]=ttyS0 [arm64]=ttyAMA0)
# Of Debian 13, with what they link to.
ARM64_PACKAGES=(busybox-static iproute2 nftables wireguard-tools libc6 libgcc-s1 libstdc++6 libatomic1 zlib1g libbpf1 libelf1t64
  libzstd1 libcap2 libmnl0 libtirpc3t64 libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 libcom-err2 libkeyutils1 libdb5.3t64
  libselinux1 libpcre2-8-0 libxtables12 libnftables1 libnftnl11 libjansson4 libgmp10 libedit2 libtinfo6 libbsd0 libmd0)

fail() {
  echo "test-kernels: $1" >&2
  exit 1
}

# shellcheck disable=SC1091 # checked by itself
. tools/kernels/lib.sh

[ "$(id -u)" -eq 0 ] || fail "needs root: debootstrap and chroot"
[ "$(uname -m)" = x86_64 ] || fail "only on x86-64 yet: the tools in the cache are those of one"
mkdir -p "$cache"/{logs,modules,kernels}

# In the tools' Debian, with the /proc that objtool wants; nothing of it stays mounted.
in_bench() {
  # shellcheck disable=SC2016 # for the inner shell
  unshare --mount --propagation private sh -c \
    'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"' "$bench" "$@"
}

make_bench() {
  [ ! -e "$bench/.with-cross" ] || return 0
  local mirror
  mirror=$(find_mirror) || fail "no Debian mirror found in /etc/apt"
  echo "making the tools' Debian in $bench (once, some minutes)"
  rm -rf "$bench"
  debootstrap --variant=minbase --include="$BENCH_PACKAGES" trixie "$bench" "$mirror" \
    >"$cache/logs/debootstrap.log" 2>&1 || fail "debootstrap failed: see $cache/logs/debootstrap.log"
  touch "$bench/.with-cross"
}

# ip(8) makes WireGuard devices, and only wg(8) gives them keys. Of the oldest suite: it runs with every newer libc.
fetch_wireguard() {
  [ ! -e "$cache/wireguard/usr/bin/wg" ] || return 0
  update_suite bookworm
  echo "fetching wireguard-tools"
  unpack bookworm "$cache/wireguard" wireguard-tools
}

# Node, what it and the tests need, and libbpf, as this machine has them.
fill_amd64() {
  local base=$1 node library
  mkdir -p "$base"/{bin,sbin}
  cp /bin/busybox "$base/bin/"
  node=$(node -p process.execPath)
  cp "$node" "$base/bin/node"
  cp -L "$(command -v ip)" "$base/sbin/ip"
  cp -L "$(command -v nft)" "$base/sbin/nft"
  cp "$cache/wireguard/usr/bin/wg" "$base/bin/wg"
  for library in libbpf.so.1 libgcc_s.so.1 libdl.so.2 libpthread.so.0 librt.so.1; do
    ldconfig -p | sed -n "s|.*x86-64.*=> \(.*/$library\)\$|\1|p" | head -n 1
  done >"$base.libraries"
  mapfile -t libraries <"$base.libraries"
  ldd "$node" "$(command -v ip)" "$(command -v nft)" "${libraries[@]}" | sed -n 's/.*[[:space:]]\(\/[^ ]*\) (0x.*/\1/p' >>"$base.libraries"
  sort -u "$base.libraries" | while read -r library; do
    mkdir -p "$base$(dirname "$library")"
    cp -L "$library" "$base$library"
  done
  rm -f "$base.libraries"
  # Debian's merged /usr: what the loader looks for in /lib and /usr/lib is the same.
  for library in "$base"/{lib,lib64}/x86_64-linux-gnu/*; do
    if [ -e "$library" ]; then
      mkdir -p "$base/usr/lib/x86_64-linux-gnu"
      cp -n "$library" "$base/usr/lib/x86_64-linux-gnu/" || true
    fi
  done
  cp -rL node_modules/@koromix/koffi-linux-x64 "$base/ilm/node_modules/@koromix/"
}

# The same out of Debian's packages, and the Node of ours.
fill_arm64() {
  local base=$1 suite=trixie:arm64
  update_suite "$suite"
  if [ ! -e "$cache/arm64/.complete" ]; then
    echo "fetching what an arm64 guest needs"
    rm -rf "$cache/arm64"
    unpack "$suite" "$cache/arm64" "${ARM64_PACKAGES[@]}"
    rm -rf "$cache/arm64/usr/share" "$cache"/arm64/usr/lib/*/gconv
    touch "$cache/arm64/.complete"
  fi
  cp -a "$cache/arm64/." "$base/"
  mkdir -p "$base"/usr/{bin,sbin,lib}
  for folder in bin sbin lib; do ln -sfn "usr/$folder" "$base/$folder"; done
  ln -sfn ../bin/ip "$base/usr/sbin/ip"
  node dist/tools/kernels/arm64.js "$base"
}

# What the guests of an architecture share: Node, libbpf, ilm as it is built here.
make_base() {
  local architecture=$1 base package
  base=$(mktemp -d "$cache/base.XXXXXX")
  mkdir -p "$base"/{proc,sys,dev,tmp,root,run,etc,modules,ilm/node_modules/@koromix,ilm/dist}
  "fill_$architecture" "$base"
  cp tools/kernels/init.sh "$base/init"
  chmod 755 "$base/init"
  cp -r dist/src dist/tools dist/bpf "$base/ilm/dist/"
  mkdir -p "$base/ilm/dist/test/support"
  cp -r dist/test/oracle "$base/ilm/dist/test/"
  cp -r dist/test/support/*.js test/support/python "$base/ilm/dist/test/support/"
  find "$base/ilm/dist" -name '*.map' -delete
  cp package.json "$base/ilm/"
  for package in commander koffi picocolors yaml zod; do
    cp -rL "node_modules/$package" "$base/ilm/node_modules/$package"
  done
  (cd "$base" && find . | cpio --quiet -o -H newc >"$cache/base-$architecture.cpio")
  rm -rf "$base"
}

# The newest release (as `uname -r` has it) of a suite that matches.
find_release() {
  suite_apt "$1" apt-cache pkgnames linux- |
    sed -nE "s/^linux-(image|binary)-($2-cloud-$(architecture_of "$1"))\$/\2/p" |
    sort -uV | tail -n 1
}

fetch_kernel() {
  local suite=$1 release=$2 folder=$cache/kernels/$2 packages=()
  [ ! -e "$folder/.complete" ] || return 0
  rm -rf "$folder"
  # Newer kernels: the image's package is empty, and it comes as two.
  for kind in image binary modules; do
    if has_package "$suite" "linux-$kind-$release"; then packages+=("linux-$kind-$release"); fi
  done
  echo "fetching ${packages[*]}"
  unpack "$suite" "$folder" "${packages[@]}"
  touch "$folder/.complete"
}

# Without DKMS, as kmod/README.md says.
make_by_hand() {
  in_bench nice -n "$nice" make -C "/usr/src/ilm-lookup-$version" KDIR="/usr/src/linux-headers-$1"
}

# By DKMS, as users have it built: leaves the module, signed, in $cache/modules/RELEASE/ilm_lookup.ko, and beside it one without
# BTF; or why there is none in .../why.
build_module() {
  local suite=$1 release=$2 folder=$cache/modules/$2 log=$cache/logs/build-$2.log depends packages built
  rm -rf "$folder"
  mkdir -p "$folder"
  if ! has_package "$suite" "linux-headers-$release"; then
    echo "Debian has no headers of $release any more" >"$folder/why"
    return 0
  fi
  if [ ! -e "$bench/usr/src/linux-headers-$release/.complete" ]; then
    depends=$(suite_apt "$suite" apt-cache show "linux-headers-$release" | sed -n 's/^Depends: //p' | head -n 1)
    mapfile -t packages < <(tr , '\n' <<<"$depends" | sed 's/ *(.*//; s/^ *//' | grep -E '^linux-headers')
    unpack "$suite" "$bench" "linux-headers-$release" "${packages[@]}"
    # What runs here while it is built.
    update_suite "${suite%:*}"
    unpack "${suite%:*}" "$bench" "$(grep -oE 'linux-kbuild-[^ ,]+' <<<"$depends")"
    touch "$bench/usr/src/linux-headers-$release/.complete"
  fi
  rm -rf "$bench/var/lib/dkms/ilm-lookup" "$bench"/usr/src/ilm-lookup-*
  cp -r kmod "$bench/usr/src/ilm-lookup-$version"
  mkdir -p "$bench/lib/modules/$release"
  ln -sfn "/usr/src/linux-headers-$release" "$bench/lib/modules/$release/build"
  if in_bench nice -n "$nice" dkms build "ilm-lookup/$version" -k "$release" >"$log" 2>&1; then
    built=$(find "$bench/var/lib/dkms/ilm-lookup/$version/$release" -name ilm_lookup.ko)
    in_bench "${tools[$architecture]}objcopy" --remove-section=.BTF "${built#"$bench"}" /root/without-btf.ko
    cp "$built" "$folder/"
    mv "$bench/root/without-btf.ko" "$folder/"
  elif grep -q BUILD_EXCLUSIVE "$log" && ! make_by_hand "$release" >>"$log" 2>&1 && grep -q 'needs Linux 6.6 or newer' "$log"; then
    echo "refused at build: the module needs Linux 6.6 or newer" >"$folder/why"
  else
    echo "test-kernels: the module does not build for $release: $log" >&2
    echo "does not build: see the log" >"$folder/why"
  fi
}

# A module of the kernel's package, and before it what it needs, into a folder; `order` there says in which order they are
# loaded. What the package does not have is built in, or not to be had: the guest sees.
add_module() {
  local release=$1 folder=$2 name=$3 file depends
  if [ -e "$folder/$name.ko" ]; then return 0; fi
  file=$(find "$cache/kernels/$release" \( -name "$name.ko" -o -name "$name.ko.xz" -o -name "${name//_/-}.ko" -o -name "${name//_/-}.ko.xz" \) |
    head -n 1)
  case $file in
    '') return 0 ;;
    *.xz) xz -dc "$file" >"$folder/$name.ko" ;;
    *) cp "$file" "$folder/$name.ko" ;;
  esac
  # Of its .modinfo. (busybox's modinfo wants the modules.dep that only an installation makes.)
  depends=$(busybox strings "$folder/$name.ko" | sed -n 's/^depends=//p' | tr , ' ')
  for depends in $depends; do add_module "$release" "$folder" "$depends"; done
  echo "$name" >>"$folder/order"
}

# base.cpio, and what belongs to this kernel after it: the kernel unpacks one after the other. The initramfs has this folder's files, and
# the modules that are named.
make_initramfs() {
  local release=$1 overlay=$2 module
  shift 2
  mkdir -p "$overlay/modules"
  for module in "$@"; do add_module "$release" "$overlay/modules" "$module"; done
  { cat "$cache/base-$architecture.cpio"; (cd "$overlay" && find . | cpio --quiet -o -H newc); } >"$bench/root/initramfs"
  rm -rf "$overlay"
}

# boot LOG OPTION...: the kernel at hand, with that initramfs, until the guest is off.
# mitigations=off: what they cost a processor costs the emulation much more, and there is nothing in the guest to protect.
boot() {
  local log=$1 kernel status=0 machine
  shift
  read -ra machine <<<"${machines[$architecture]}"
  kernel=$(find "$cache/kernels/$release" -name 'vmlinuz*' -type f | head -n 1)
  cp "$kernel" "$bench/root/vmlinuz"
  in_bench timeout --foreground "$limit" nice -n "$nice" "${emulators[$architecture]}" "${machine[@]}" "$@" \
    -m "$memory" -nodefaults -display none -serial stdio -kernel /root/vmlinuz -initrd /root/initramfs \
    -append "console=${consoles[$architecture]} mitigations=off panic=-1 softlockup_panic=1 hung_task_panic=1 quiet net.ifnames=0 $parameters" \
    </dev/null 2>&1 | sed -u 's/\r$//' | tee "$log" |
    grep --line-buffered -E '^@ilm\|(result|figure)' | sed -u "s/^@ilm|[a-z]*|/$name  /" || status=$?
  rm -f "$bench/root/vmlinuz" "$bench/root/initramfs"
  return "$status"
}

# A Debian of that suite, the one that the tests of the packages have, as a disk.
make_debian() {
  local suite=$1 disk=$cache/debians/$1.ext4 tree=$bench/root/debian debian
  debian=$(tools/unpack-debian.sh "${suite%%[-:]*}") || fail "no Debian could be unpacked"
  [ ! "$disk" -nt "$debian.wanted" ] || return 0
  echo "making a Debian of $suite (once)"
  # A run that was killed has left what it booted: another name of a disk that is kept.
  rm -rf "$tree" "$bench/root/disk"
  cp -a "$debian" "$tree"
  if [ "$architecture" != amd64 ]; then replace_packages "$suite" "$tree"; fi
  in_bench mke2fs -q -t ext4 -d /root/debian /root/disk 3G
  rm -rf "$tree"
  mkdir -p "$cache/debians"
  mv "$bench/root/disk" "$disk"
}

# Replaces the packages of an installed Debian by those of another architecture. What their maintainer scripts did here takes the
# emulation a quarter of an hour, and is the same but for caches.
replace_packages() {
  local suite=$1 tree=$2 dpkg=$2/var/lib/dpkg downloads package packages name file
  downloads=$(mktemp -d "$cache/download.XXXXXX")
  # shellcheck disable=SC2016 # dpkg-query's
  mapfile -t packages < <(chroot "$tree" dpkg-query -W -f '${Architecture} ${Package}\n' | sed -n 's/^amd64 //p')
  update_suite "$suite"
  download "$suite" "$downloads" "${packages[@]}" || fail "packages of $suite could not be fetched"
  rm -rf "${tree:?}"/{lib64,usr/lib64,usr/lib/x86_64-linux-gnu,etc/ld.so.cache}
  for file in "$dpkg"/info/*:amd64.*; do mv "$file" "${file/:amd64./:$architecture.}"; done
  sed -i "s/^Architecture: amd64/Architecture: $architecture/" "$dpkg/status"
  if [ -e "$dpkg/arch-native" ]; then sed -i "s/amd64/$architecture/" "$dpkg/arch-native"; fi
  for package in "$downloads"/*.deb; do
    name=$(dpkg-deb --field "$package" Package)
    if [ "$(dpkg-deb --field "$package" Multi-Arch)" = same ]; then name+=:$architecture; fi
    dpkg-deb --control "$package" "$downloads/control"
    rm "$downloads/control/control"
    for file in "$downloads"/control/*; do cp "$file" "$dpkg/info/$name.${file##*/}"; done
    rm -r "$downloads/control"
    dpkg --fsys-tarfile "$package" | tar -x -C "$tree" --keep-directory-symlink
    dpkg --fsys-tarfile "$package" | tar -t | sed 's|^\.||; s|\(.\)/$|\1|; s|^/$|/.|' >"$dpkg/info/$name.list"
  done
  rm -rf "$downloads"
}

# Our package and the same as a newer version, for the architecture at hand.
make_packages() {
  local folder=$1 unpacked
  PACKAGES=$folder node dist/tools/package.js --fast "$architecture" >/dev/null
  mv "$folder"/ilm_*.deb "$folder/ilm.deb"
  unpacked=$(mktemp -d "$cache/overlay.XXXXXX")
  dpkg-deb --raw-extract "$folder/ilm.deb" "$unpacked"
  sed -i 's/^Version: .*/Version: 1000-1/' "$unpacked/DEBIAN/control"
  dpkg-deb --root-owner-group -Zgzip -z1 --build "$unpacked" "$folder/newer.deb" >/dev/null
  rm -rf "$unpacked"
}

version=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' kmod/dkms.conf)
make_bench
fetch_wireguard
declare -A based=()
ran=()
asked=${ILM_KERNELS_PARTS:-}
# What of it one guest does: the others have one of their own.
common=$(sed -E 's/\b(cost|package)\b//g; s/,+/,/g; s/^,|,$//g' <<<"$asked")

is_asked() {
  [ -z "$asked" ] || [[ ",$asked," == *,$1,* ]]
}

# One boot of the kernel at hand, and these parts in it; all but cost and package when none are named.
run_parts() {
  local parts=$1 log=$2 overlay clock=(-accel 'tcg,thread=multi' -smp 2)
  # The guest's clock counts instructions then: figures that repeat, whatever else this machine does.
  if [ "$parts" = cost ]; then clock=(-accel 'tcg,thread=single' -smp 1 -icount 'shift=0,sleep=off'); fi
  overlay=$(mktemp -d "$cache/overlay.XXXXXX")
  mkdir "$overlay/modules"
  cp "$cache/modules/$release/"* "$overlay/modules/"
  if [ -n "$parts" ]; then echo "$parts" >"$overlay/modules/parts"; fi
  make_initramfs "$release" "$overlay" "${GUEST_MODULES[@]}"
  echo "$name: booting $release${parts:+ for $parts}"
  boot "$log" "${clock[@]}" -no-reboot || true
  ran+=("$name=$log")
}

# A Debian with a systemd, and our package in it. It boots twice; its disk stays as it was.
run_package() {
  local log=$cache/logs/$name-package.log overlay
  make_debian "$suite"
  overlay=$(mktemp -d "$cache/overlay.XXXXXX")
  cp tools/kernels/init-debian.sh "$overlay/init"
  make_packages "$overlay/packages"
  make_initramfs "$release" "$overlay" "${DISK_MODULES[@]}" "${GUEST_MODULES[@]}"
  ln -f "$cache/debians/$suite.ext4" "$bench/root/disk"
  echo "$name: booting $release with a Debian for package"
  boot "$log" -accel tcg,thread=multi -smp 2 -drive file=/root/disk,if=virtio,format=raw,snapshot=on || true
  rm "$bench/root/disk"
  ran+=("$name=$log")
}

# All of it before the first boot: a run takes long, and the file may be edited meanwhile.
mapfile -t kernels <tools/kernels/kernels.txt
for kernel in "${kernels[@]}"; do
  read -r name suite pattern parameters <<<"$kernel"
  case $name in '' | '#'*) continue ;; esac
  if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
  architecture=$(architecture_of "$suite")
  if [ -z "${based[$architecture]:-}" ]; then
    make_base "$architecture"
    based[$architecture]=1
  fi
  update_suite "$suite"
  release=$(find_release "$suite" "$pattern")
  [ -n "$release" ] || fail "$suite has no kernel that matches $pattern"
  fetch_kernel "$suite" "$release"
  build_module "$suite" "$release"
  if [ -z "$asked" ] || [ -n "$common" ]; then run_parts "$common" "$cache/logs/$name.log"; fi
  # In a guest of its own, and only where there are two engines to compare.
  if is_asked cost && [ -e "$cache/modules/$release/ilm_lookup.ko" ] && [ -z "$parameters" ]; then
    run_parts cost "$cache/logs/$name-cost.log"
  fi
  # `make test` has amd64's on fresh Debians already.
  if is_asked package && [ "$architecture$asked" != amd64 ] && [ -z "$parameters" ]; then run_package; fi
done
[ "${#ran[@]}" -gt 0 ] || fail "no such kernel: $*"
node dist/tools/kernels/table.js "${ran[@]}"
