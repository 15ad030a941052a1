#!/usr/bin/env bash
# Compiles a Go program with a compiler of Debian's, and prints where it is: tools/build-go.sh 1.19|1.24 FILE.go
# The compiler comes from Debian 12 or 13 and is unpacked in a cache, with neither this machine's apt nor its packages touched.
# Some 50 MB and 20 seconds, once; the program is kept until its source changes.
#
#   ILM_GO_CACHE    default ${XDG_CACHE_HOME:-/var/cache}/ilm-go
#
# Status 3: no compiler can be had; why is on standard error.
set -euo pipefail

version=$1
source=$(realpath "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cache=${ILM_GO_CACHE:-${XDG_CACHE_HOME:-/var/cache}/ilm-go}

fail() {
  echo "build-go: $1" >&2
  exit 3
}

case $version in
  1.19) suite=bookworm ;;
  1.24) suite=trixie ;;
  *)
    echo "build-go: Go $version is not known; use 1.19 or 1.24" >&2
    exit 1
    ;;
esac

# shellcheck source-path=SCRIPTDIR disable=SC1091 # checked by itself
. tools/kernels/lib.sh

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
program=$cache/$version-$(sha256sum "$source" | cut -c 1-16)
if [ ! -x "$program" ]; then
  if [ ! -e "$cache/.complete-$version" ]; then
    rm -rf "$cache/root/usr/lib/go-$version" "$cache/root/usr/share/go-$version"
    update_suite "$suite" || fail "the package lists of $suite cannot be fetched"
    unpack "$suite" "$cache/root" "golang-$version-go" "golang-$version-src" || fail "golang-$version cannot be fetched"
    touch "$cache/.complete-$version"
  fi
  work=$(mktemp -d "$cache/build.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  cp "$source" "$work/main.go"
  # The language version decides what a program takes by default (GODEBUG).
  printf 'module app\n\ngo %s\n' "$version" >"$work/go.mod"
  export GOROOT=$cache/root/usr/lib/go-$version GOCACHE=$cache/objects GOPATH=$cache/path GOTOOLCHAIN=local GOPROXY=off CGO_ENABLED=0
  (cd "$work" && "$GOROOT/bin/go" build -o program .) >&2
  mv "$work/program" "$program"
fi
echo "$program"
