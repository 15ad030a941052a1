#!/usr/bin/env bash
# Compiles a Go program with Debian's Go 1.24, and prints where it is: tools/build-go.sh FILE.go
# The compiler comes from Debian 13 and is unpacked in a cache, with neither this machine's apt nor its packages touched. Some
# 50 MB and 20 seconds, once; the program is kept until its source changes.
#
#   ILM_GO_CACHE    default ${XDG_CACHE_HOME:-/var/cache}/ilm-go
#
# Status 3: no compiler can be had; why is on standard error.
set -euo pipefail

source=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cache=${ILM_GO_CACHE:-${XDG_CACHE_HOME:-/var/cache}/ilm-go}
suite=trixie
version=1.24

fail() {
  echo "build-go: $1" >&2
  exit 3
}

# shellcheck source-path=SCRIPTDIR disable=SC1091 # checked by itself
. tools/kernels/lib.sh

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
program=$cache/$(sha256sum "$source" | cut -c 1-16)
if [ ! -x "$program" ]; then
  if [ ! -e "$cache/.complete" ]; then
    rm -rf "$cache/root"
    update_suite "$suite" || fail "the package lists of $suite cannot be fetched"
    unpack "$suite" "$cache/root" "golang-$version-go" "golang-$version-src" || fail "golang-$version cannot be fetched"
    touch "$cache/.complete"
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
