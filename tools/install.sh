#!/bin/sh
# Puts a built checkout below PREFIX, or takes it away again. Needs no network: the modules come from node_modules.
set -eu
cd "$(dirname "$0")/.."

prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}$prefix
library=$root/lib/ilm

uninstall() {
  rm -rf "$library" "$root/share/ilm"
  rm -f "$root/bin/ilm" "$root/share/man/man1/ilm.1" "$root/share/man/man1"/ilm-*.1 "$root/share/man/man5/ilm.yaml.5" \
    "$root/share/bash-completion/completions/ilm" "$root/share/zsh/site-functions/_ilm" \
    "$root/share/fish/vendor_completions.d/ilm.fish"
}

put() {
  if [ -e "$1" ]; then install -D -m 644 "$1" "$2"; fi
}

install_all() {
  uninstall
  install -d "$library/dist" "$root/bin"
  cp -R bin examples schema package.json LICENSE LICENSES "$library/"
  cp -R dist/src dist/bpf "$library/dist/"
  npm ls --omit=dev --all --parseable --loglevel=error | sed -n 's|^.*/node_modules/|node_modules/|p' |
    while read -r module; do
      install -d "$library/$(dirname "$module")"
      cp -R "$module" "$library/$module"
    done
  ln -sfn ../lib/ilm/bin/ilm "$root/bin/ilm"
  for page in man/*.[15]; do put "$page" "$root/share/man/man${page##*.}/$(basename "$page")"; done
  put completions/ilm.bash "$root/share/bash-completion/completions/ilm"
  put completions/ilm.zsh "$root/share/zsh/site-functions/_ilm"
  put completions/ilm.fish "$root/share/fish/vendor_completions.d/ilm.fish"
  for file in contrib/prometheus/*.yml contrib/grafana/*.json; do put "$file" "$root/share/ilm/${file#contrib/}"; done
  echo "installed: $root/bin/ilm"
}

case ${1:-} in
  install) install_all ;;
  uninstall) uninstall ;;
  *)
    echo "usage: PREFIX=... DESTDIR=... tools/install.sh install|uninstall" >&2
    exit 2
    ;;
esac
