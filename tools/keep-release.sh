#!/usr/bin/env bash
# Adds a commit to the older releases that the tests build and run: tools/keep-release.sh COMMIT
# For the last commit before the state's format changes (ILM_ABI_VERSION in bpf/abi.h); a release of that format that is
# there already is replaced. The same releases always give the same archive, with the same tar and xz.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
archive=test/releases/releases.tar.xz

fail() {
  echo "keep-release: $1" >&2
  exit 1
}

[ $# -eq 1 ] || fail "usage: tools/keep-release.sh COMMIT"
commit=$(git rev-parse --verify --quiet "$1^{commit}") || fail "no such commit: $1"
format=$(git show "$commit:bpf/abi.h" | sed -n 's/^#define ILM_ABI_VERSION \([0-9]*\)$/\1/p')
[ -n "$format" ] || fail "bpf/abi.h of $commit has no ILM_ABI_VERSION"

staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT
mkdir "$staging/all"
if [ -e $archive ]; then tar -xJf $archive -C "$staging/all"; fi
rm -rf "${staging:?}/all/$format"
mkdir "$staging/all/$format"
# What tools/build-release.sh needs, and no more.
git archive "$commit" Makefile bin bpf kmod/ilm_lookup.h src package.json tsconfig.json | tar -x -C "$staging/all/$format"
echo "$commit" >"$staging/all/$format/COMMIT"
# It goes to whoever has the sources, and the tests fetch nothing.
if grep -rnE "registry\.npmjs|registry\.yarnpkg|$PWD|$HOME/" "$staging/all/$format" >&2; then
  fail "the lines above name a registry, or a folder of this machine"
fi

mkdir -p "$(dirname $archive)"
# One archive: xz sees that a release is nearly the one before it, which makes it a quarter of what single ones take.
(cd "$staging/all" && printf '%s\n' * | sort -n | tar -c --format=ustar --sort=name --owner=0 --group=0 \
  --numeric-owner --mtime=@0 --mode=u=rwX,go=rX --files-from=-) | xz -9e -T1 >"$staging/new"
chmod 644 "$staging/new"
mv "$staging/new" $archive
echo "keep-release: format $format is $commit; $archive has $(stat -c %s $archive) bytes"
