#!/bin/sh
# Puts a built checkout below PREFIX, or takes it away again. Needs no network. The Debian packages are made of what this puts
# (tools/package.ts), with a Node of their own.
#
#   PREFIX=/usr/local DESTDIR= tools/install.sh install|uninstall
#
# NODE is the interpreter of the command (default: the first node of PATH), and KOFFI the folder of koffi's native code
# (default: that of node_modules).
set -eu
cd "$(dirname "$0")/.."

prefix=${PREFIX:-/usr/local}
case $prefix in
  /*) ;;
  *)
    echo "PREFIX=$prefix is no absolute path: the unit and the command name what is below it" >&2
    exit 2
    ;;
esac
while [ "$prefix" != "${prefix%/}" ]; do prefix=${prefix%/}; done
destination=${DESTDIR:-}
root=$destination$prefix
library=$root/lib/ilm
share=$root/share
units=$root/lib/systemd/system
sample=$destination/etc/ilm/ilm.yaml

# All but the configuration, which may be the administrator's by now.
uninstall() {
  rm -rf "$library" "$share/ilm" "$share/doc/ilm"
  rm -f "$root/bin/ilm" "$units/ilm.service" "$units/ilm@.service" "$units/ilm@.path" "$units/ilm-bpffs.service" \
    "$share/man/man1/ilm.1" "$share/man/man1"/ilm-*.1 "$share/man/man5/ilm.yaml.5" \
    "$share/bash-completion/completions/ilm" "$share/zsh/site-functions/_ilm" \
    "$share/fish/vendor_completions.d/ilm.fish"
}

put() {
  install -D -m 644 "$1" "$2"
}

# Whole folders, with the modes that installed files have whatever the checkout's are.
put_folder() {
  (cd "$1" && find . -type f) | while read -r file; do put "$1/$file" "$2/$file"; done
}

install_all() {
  uninstall
  put_folder dist/src/bundle "$library/dist/src/bundle"
  # The demo starts its daemons and clients as programs of their own.
  for module in dist/src/demo/*.js; do put "$module" "$library/$module"; done
  for object in lookup lookup-kfunc steer hook registry listing; do
    put "dist/bpf/$object.bpf.o" "$library/dist/bpf/$object.bpf.o"
  done
  koffi=${KOFFI:-$(echo node_modules/@koromix/koffi-linux-*)}
  name=$(sed -n 's|^ *"name": "@koromix/\(.*\)",$|\1|p' "$koffi/package.json")
  put "$koffi/package.json" "$library/node_modules/@koromix/$name/package.json"
  put "$koffi/index.js" "$library/node_modules/@koromix/$name/index.js"
  for native in "$koffi"/linux_*/koffi.node; do
    put "$native" "$library/node_modules/@koromix/$name/${native#"$koffi"/}"
  done
  put_folder schema "$library/schema"
  put examples/demo.yaml "$library/examples/demo.yaml"
  put package.json "$library/package.json"
  put bin/package.json "$library/bin/package.json"
  install -d "$root/bin" "$library/bin"
  sed "1s|.*|#!${NODE:-/usr/bin/env node}|" bin/ilm >"$library/bin/ilm"
  chmod 755 "$library/bin/ilm"
  ln -sfn ../lib/ilm/bin/ilm "$root/bin/ilm"

  for page in man/*.[15]; do put "$page" "$share/man/man${page##*.}/$(basename "$page")"; done
  put completions/ilm.bash "$share/bash-completion/completions/ilm"
  put completions/ilm.zsh "$share/zsh/site-functions/_ilm"
  put completions/ilm.fish "$share/fish/vendor_completions.d/ilm.fish"
  for file in contrib/prometheus/*.yml contrib/grafana/*.json; do put "$file" "$share/ilm/${file#contrib/}"; done
  for unit in contrib/systemd/*; do
    put "$unit" "$units/$(basename "$unit")"
    sed -i "s|/usr/local/bin/ilm|$prefix/bin/ilm|" "$units/$(basename "$unit")"
  done
  if [ ! -e "$sample" ]; then put contrib/ilm.yaml "$sample"; fi

  for document in README.md CHANGELOG.md ARCHITECTURE.md SECURITY.md kmod/[!t]*; do put "$document" "$share/doc/ilm/$document"; done
  put_folder docs "$share/doc/ilm/docs"
  # Links to what only a checkout has are text.
  find "$share/doc/ilm" -name '*.md' -exec \
    sed -i 's,\[\([^]]*\)\](\(\.\./\)*\(CONTRIBUTING\.md\|test/[^)]*\|tools/[^)]*\)),\1,g' {} +
  put_folder examples "$share/doc/ilm/examples"
  put LICENSE "$share/doc/ilm/LICENSE"
  put_folder LICENSES "$share/doc/ilm/LICENSES"
}

case ${1:-} in
  install)
    install_all
    echo "installed: $root/bin/ilm"
    ;;
  uninstall) uninstall ;;
  *)
    echo "usage: PREFIX=... DESTDIR=... tools/install.sh install|uninstall" >&2
    exit 2
    ;;
esac
