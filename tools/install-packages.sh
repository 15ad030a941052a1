#!/bin/sh
# Installs Debian packages, as root, so that nothing on the host starts, is enabled, listens or filters because of them.
#
#   tools/install-packages.sh [PACKAGE|FILE.deb]...
#
# The package lists must be fresh enough already. Without arguments it only puts right what a killed run left behind,
# which every run does first. What the administrator enabled or started stays as it is, also where its package is upgraded.
#
# Three things keep a package quiet:
# - a policy-rc.d of ours in front of the host's own, which Debian's maintainer scripts ask before they start or stop;
# - a process, network and mount namespace, for those that do not ask: it ends with the installation. Where namespaces
#   are not allowed, as in most containers, policy-rc.d and SYSTEMD_OFFLINE are all there is;
# - what is enabled is listed before, and what was added is taken back after. Units that a package enables by a link among
#   its own files under /usr/lib stay: those of systemd and dbus, without which there is no system to start.
set -eu

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C.UTF-8
export PATH LC_ALL

lock=/run/ilm-setup.lock
# There while a run is running, and after one that was killed. tools/setup.sh looks for it.
state=/var/lib/ilm-setup
policy=/usr/sbin/policy-rc.d
hosts_policy=$policy.before-ilm-setup
namespaces='--mount --net --ipc --pid --mount-proc --fork'
mark='Written by tools/install-packages.sh of ilm'

# Prints a line for whatever starts a unit or an init script at boot or on demand: the symbolic links of systemd, and
# those of the runlevels without their number, which changes when another script comes.
list_enabled() {
  for folder in /etc/systemd/system /etc/systemd/user; do
    if [ -d "$folder" ]; then find "$folder" -name '*.d' -prune -o -type l ! -lname /dev/null -print; fi
  done >"$1.unsorted"
  for folder in /etc/rc[2-5S].d; do
    if [ -d "$folder" ]; then find "$folder" -name 'S[0-9][0-9]*' | sed 's|/S[0-9][0-9]|/|'; fi
  done >>"$1.unsorted"
  sort "$1.unsorted" >"$1.sorted"
  # A list that was written in part would be taken for a machine on which little was enabled.
  mv "$1.sorted" "$1"
}

# A link that is taken away, and a K instead of an S in a runlevel, are what `systemctl disable` and `update-rc.d disable`
# leave: an upgrade of the package heeds both.
disable_what_was_added() {
  list_enabled "$state/enabled-after"
  comm -13 "$state/enabled-before" "$state/enabled-after" >"$state/added"
  while read -r link; do
    folder=${link%/*}
    name=${link##*/}
    case $link in
      /etc/systemd/*)
        rm -f "$link"
        case $folder in *.wants | *.requires | *.upholds) rmdir --ignore-fail-on-non-empty "$folder" ;; esac
        ;;
      *)
        for start in "$folder"/S[0-9][0-9]"$name"; do mv -f "$start" "$folder/K01$name"; done
        ;;
    esac
  done <"$state/added"
  if [ -s "$state/added" ]; then
    echo "setup: not enabled, although the packages would: $(sed 's|.*/||' "$state/added" | sort -u | tr '\n' ' ' | sed 's/ $//')"
  fi
  # systemd has to forget the links, and to learn of the new units.
  if [ -d /run/systemd/system ]; then env -u SYSTEMD_OFFLINE systemctl daemon-reload; fi
}

# The host's own file is moved aside by renames only, so that at no moment there is none.
forbid_services() {
  if [ -e $policy ] || [ -L $policy ]; then
    cp -a $policy $hosts_policy.new
    mv -fT $hosts_policy.new $hosts_policy
  fi
  cat >$policy.ilm-setup-new <<EOF
#!/bin/sh
# $mark, which removes it when it is done.
# It forbids services while that script is running. One that a killed run left decides nothing; the next run removes it.
flock --shared --nonblock $lock true || exit 101
[ ! -x $hosts_policy ] || exec $hosts_policy "\$@"
exit 104
EOF
  chmod 755 $policy.ilm-setup-new
  mv -fT $policy.ilm-setup-new $policy
}

allow_services() {
  if [ -e $hosts_policy ] || [ -L $hosts_policy ]; then
    mv -fT $hosts_policy $policy
  elif [ -f $policy ] && grep -qF "$mark" $policy; then
    rm -f $policy
  fi
  rm -f $hosts_policy.new $policy.ilm-setup-new
}

# Back to what was there before, but for the packages. Whoever is killed in here leaves $state for the next run.
put_right() {
  [ -e $state ] || return 0
  if [ -e $state/enabled-before ]; then disable_what_was_added; fi
  allow_services
  rm -rf $state
}

# Runs a command; where namespaces are allowed, no process, socket or firewall rule of it stays.
contain() {
  # shellcheck disable=SC2086 # a list of options
  if unshare $namespaces true 2>/dev/null; then
    # Some scripts look for a free port on the loopback interface.
    # shellcheck disable=SC2016,SC2086 # for the inner shell, and a list of options
    set -- unshare $namespaces sh -c 'if command -v ip >/dev/null; then ip link set lo up; fi; exec "$@"' sh "$@"
  fi
  "$@"
}

if [ "$(id -u)" -ne 0 ]; then
  echo "setup: tools/install-packages.sh needs root" >&2
  exit 1
fi

# No other process may hold it: policy-rc.d takes a held lock for a run at work.
umask 077
exec 9>$lock
umask 022
if ! flock --nonblock 9; then
  echo "setup: waiting for another installation"
  flock 9
fi
put_right
[ $# -gt 0 ] || exit 0

trap put_right EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir -m 755 $state
list_enabled $state/enabled-before
forbid_services

set -- install --no-install-recommends "$@"
set -- apt-get -qq -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@"
export DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1
# apt-get inherits the lock, so that it is held for as long as apt-get works, also when this script is killed; it closes
# it for what it starts. The second one finds all that it needs downloaded, and no network.
"$@" --download-only </dev/null >/dev/null
contain "$@" </dev/null >/dev/null
