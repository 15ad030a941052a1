#!/usr/bin/env bash
# Builds one of the older releases in test/releases, and prints the path of its command: tools/build-release.sh FORMAT
# Once: the build is kept in dist/releases until what it is made of changes. Those who ask at the same time wait for one.
# Its packages are those of this checkout, which is around it.
set -euo pipefail

format=$1
cd "$(dirname "${BASH_SOURCE[0]}")/.."
archive=test/releases/releases.tar.xz
modules=$PWD/node_modules

digest=$(cat $archive tools/build-release.sh package-lock.json | sha256sum | cut -c 1-16)
built=$PWD/dist/releases/$digest/$format
staging=$built.new
mkdir -p "$(dirname "$built")"
exec 9>"$built.lock"
flock 9

build() {
  mkdir "$staging"
  tar -xJf $archive -C "$staging" --strip-components=1 "$format"
  cd "$staging"
  # Its Makefile says how an object is compiled, and looks for TypeScript in these.
  mkdir tools bench test
  printf '%s\n' bpf/*.bpf.c | sed 's|^\(.*\)\.c$|dist/\1.o|' |
    env -u MAKEFLAGS -u MAKELEVEL xargs -P "$(nproc)" -n 1 make --no-print-directory
  # Earlier releases are ES modules, and format 4 was not bundled; from format 10 on src/start.ts runs the bundle.
  kind=esm
  how=()
  entries=(src/main.ts)
  if [ -e src/start.ts ]; then entries+=(src/start.ts); fi
  if [ -e bin/package.json ]; then
    kind=cjs
    # start.ts runs the bundle in a context that cannot import.
    how=(--no-dynamicImportInCjs)
  fi
  node "$modules/rolldown/bin/cli.mjs" "${entries[@]}" --dir dist/src/bundle --platform node --external koffi --format $kind \
    "${how[@]}"
  if [ $kind = cjs ]; then
    printf '{ "type": "commonjs" }\n' >dist/src/bundle/package.json
  else
    echo 'await import("./bundle/main.js");' >dist/src/main.js
  fi
  bin/ilm --version
}

if [ ! -d "$built" ]; then
  rm -rf "$staging"
  # In a shell of its own, and not as a condition: there `set -e` would not end it.
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  set +e
  (set -e; build) >"$log" 2>&1 9>&-
  status=$?
  set -e
  if [ $status -ne 0 ]; then
    echo "build-release: the release of format $format cannot be built" >&2
    cat "$log" >&2
    exit 1
  fi
  # From the staging folder to its place at once: what is there is complete.
  mv -T "$staging" "$built"
fi
echo "$built/bin/ilm"
