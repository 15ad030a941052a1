#!/bin/sh
# Makes a fresh Debian able to build, run, test or measure ilm, and is a quick look-around on one that is able already.
#
#   tools/setup.sh build|run|test|check|bench|kernels|package
#
# Looks for the very binaries, headers and libraries that are needed; only when one is missing, apt-get installs its
# package (through sudo when not root), with tools/install-packages.sh: services that come with a package are neither
# started nor enabled. The tests start their own, in namespaces of their own. Then node_modules is brought in line with
# package-lock.json.
set -eu

cd "$(dirname "$0")/.."
# Debian gives a normal user no sbin, yet that is where nginx, sshd and ip are.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH
# A message of dpkg or apt in another language does not help a reader of a CI log.
LC_ALL=C.UTF-8
export LC_ALL

profile=${1:-run}

fail() {
  printf 'setup: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '  %s\n' "$line" >&2; done
  exit 1
}

# What each profile needs, as PROBE PACKAGE. PROBE is a command, or a path in which * may stand for the multiarch name.
needs_of_build='
clang                                  clang
bpftool                                bpftool
/usr/include/bpf/bpf_helpers.h         libbpf-dev
/usr/include/*/asm/types.h             linux-libc-dev
'
needs_of_run="$needs_of_build"'
/usr/lib/*/libbpf.so.1                 libbpf1
ip                                     iproute2
nsenter                                util-linux
setpriv                                util-linux
'
needs_of_check="$needs_of_run"'
shellcheck                             shellcheck
mandoc                                 mandoc
groff                                  groff-base
llvm-objdump                           llvm
'
needs_of_test="$needs_of_run"'
nginx                                  nginx
apache2                                apache2-bin
redis-server                           redis-server
redis-cli                              redis-tools
haproxy                                haproxy
sshd                                   openssh-server
ssh                                    openssh-client
dnsmasq                                dnsmasq-base
dig                                    bind9-dnsutils
curl                                   curl
/usr/bin/nc.openbsd|/bin/nc.openbsd    netcat-openbsd
python3                                python3
mount                                  mount
ss                                     iproute2
ps                                     procps
pgrep                                  procps
systemd-socket-activate                systemd
systemd-nspawn                         systemd-container
flock                                  util-linux
ethtool                                ethtool
/usr/lib/postgresql/*/bin/postgres      postgresql
psql                                   postgresql-client
javac                                  default-jdk-headless
unbound                                unbound
knotd                                  knot
kdig                                   knot-dnsutils
named                                  bind9
chronyd                                chrony
ntpdig                                 ntpsec-ntpdig
in.tftpd                               tftpd-hpa
gtlsserver                             ngtcp2-server
gtlsclient                             ngtcp2-client
openssl                                openssl
nft                                    nftables
iptables-nft                           iptables
xz                                     xz-utils
promtool                               prometheus
prometheus                             prometheus
jq                                     jq
git                                    git
dpkg-deb                               dpkg
llvm-strip                             llvm
lintian                                lintian
debootstrap                            debootstrap
'
needs_of_package="$needs_of_build"'
dpkg-deb                               dpkg
llvm-strip                             llvm
'
needs_of_bench="$needs_of_run"'
haproxy                                haproxy
nft                                    nftables
python3                                python3
systemd-socket-activate                systemd
/usr/lib/systemd/systemd-socket-proxyd|/lib/systemd/systemd-socket-proxyd systemd
'
needs_of_kernels="$needs_of_run$needs_of_package"'
debootstrap                            debootstrap
cpio                                   cpio
busybox                                busybox-static
xz                                     xz-utils
'

case $profile in
  build) needs=$needs_of_build ;;
  run) needs=$needs_of_run ;;
  test) needs=$needs_of_test ;;
  check) needs=$needs_of_check ;;
  bench) needs=$needs_of_bench ;;
  kernels) needs=$needs_of_kernels ;;
  package) needs=$needs_of_package ;;
  *) fail "no such profile: $profile" "use one of: build run test check bench kernels package" ;;
esac

# True when the command or any of the paths (separated by |) is there.
present() {
  case $1 in
    /*)
      old_ifs=$IFS
      IFS='|'
      for pattern in $1; do
        for candidate in $pattern; do
          if [ -e "$candidate" ]; then
            IFS=$old_ifs
            return 0
          fi
        done
      done
      IFS=$old_ifs
      return 1
      ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
  esac
}

require_node() {
  wanted=20.12.0
  # The test runner and the formatter ask for more than ilm itself does.
  case $profile in test | check) wanted=20.19.0 ;; esac
  command -v node >/dev/null 2>&1 || fail "node is not installed" \
    "ilm needs Node.js $wanted or later (Debian 13: apt-get install nodejs npm; Debian 12: from nodejs.org)"
  node -e '
    const at = process.versions.node.split(".").map(Number);
    const wanted = process.argv[1].split(".").map(Number);
    const i = wanted.findIndex((part, index) => part !== at[index]);
    process.exit(i === -1 || at[i] > wanted[i] ? 0 : 1);' "$wanted" ||
    fail "Node.js $(node --version) is too old" "ilm needs $wanted or later (see nodejs.org)"
  command -v npm >/dev/null 2>&1 || fail "npm is not installed" "apt-get install npm"
}

missing_packages() {
  printf '%s\n' "$needs" | while read -r probe package; do
    if [ -n "$probe" ] && ! present "$probe"; then printf '%s\n' "$package"; fi
  done | sort -u | tr '\n' ' ' | sed 's/ $//'
}

# Runs a command as root, or says why that is not possible.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo "$@"
  fi
}

# Installs the packages given, with fresh lists of what there is.
install_packages() {
  attempt=1
  until as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 apt-get -qq -o Acquire::Retries=3 update </dev/null &&
    as_root tools/install-packages.sh "$@"; do
    [ $attempt -lt 2 ] || fail "apt-get could not install: $*" "is the network there? for the whole story: apt-get install --no-install-recommends $*"
    attempt=$((attempt + 1))
    echo "setup: once more in 5 seconds" >&2
    sleep 5
  done
}

require_packages() {
  # An installation was killed, or another one is running: both end here.
  if [ -e /var/lib/ilm-setup ]; then as_root tools/install-packages.sh; fi
  missing=$(missing_packages)
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null 2>&1 || fail "this is not a Debian system, and something is missing" \
    "install what Debian calls: $missing"
  if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null 2>&1; then
    fail "something is missing, and you are neither root nor is sudo there" \
      "as root: apt-get install --no-install-recommends $missing"
  fi
  echo "setup: installing $missing"
  # shellcheck disable=SC2086 # a list of package names
  install_packages $missing
  missing=$(missing_packages)
  [ -z "$missing" ] || fail "installed, and still not found: $missing"
}

# npm writes node_modules/.package-lock.json last, so its age is that of the installation.
require_modules() {
  stamp=node_modules/.package-lock.json
  if [ -e $stamp ] && [ -z "$(find package-lock.json -newer $stamp)" ]; then return 0; fi
  echo "setup: installing node_modules"
  # No package that we use needs its install script: koffi's native part comes as a package of its own.
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null ||
    fail "npm ci failed" "see its messages above; is the network there?"
  touch $stamp
}

# Docker, ufw and others, for the tests: unpacked beside the machine, and not installed. Quick where that is done.
require_hosts() {
  as_root tools/unpack-hosts.sh || fail "tools/unpack-hosts.sh could not unpack Docker, ufw and others for the tests" \
    "see its messages above; it needs apt-get, and the network once"
}

require_node
require_packages
case $profile in test) require_hosts ;; esac
require_modules
