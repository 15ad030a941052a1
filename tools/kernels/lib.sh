# shellcheck shell=bash
# Debian's packages of any suite, without touching this machine's apt: a configuration and lists of our own.
# Sourced by run.sh, which sets $cache.
# shellcheck disable=SC2154

# The mirror that this machine's own apt uses for Debian.
find_mirror() {
  local sources=()
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list; do
    if [ -r "$file" ]; then sources+=("$file"); fi
  done
  [ "${#sources[@]}" -gt 0 ] || return 1
  sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' "${sources[@]}" |
    grep '/debian/\?$' | head -n 1
}

# The architecture that a suite's name ends with; without one, amd64.
architecture_of() {
  case $1 in *:*) echo "${1#*:}" ;; *) echo amd64 ;; esac
}

# suite_apt SUITE[:ARCHITECTURE] apt-get|apt-cache ARGUMENT...
suite_apt() {
  local suite=${1%:*} tool=$2 folder=$cache/apt/$1 architecture
  architecture=$(architecture_of "$1")
  shift 2
  if [ ! -d "$folder/lists" ]; then
    mkdir -p "$folder/lists/partial" "$folder/archives/partial"
    local mirror
    mirror=$(find_mirror) || fail "no Debian mirror found in /etc/apt"
    echo "deb [arch=$architecture signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$folder/sources.list"
  fi
  "$tool" -o APT::Architecture="$architecture" -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$folder/lists" -o Dir::Cache::archives="$folder/archives" \
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Dir::State::status=/dev/null \
    -o Acquire::Languages=none -o APT::Sandbox::User=root -o Acquire::Retries=3 "$@"
}

# Lists older than a day are fetched again.
update_suite() {
  local stamp=$cache/apt/$1/updated
  if [ -e "$stamp" ] && [ -z "$(find "$stamp" -mtime +0)" ]; then return 0; fi
  suite_apt "$1" apt-get -qq update </dev/null
  touch "$stamp"
}

has_package() {
  suite_apt "$1" apt-cache show "$2" >/dev/null 2>&1
}

# download SUITE[:ARCHITECTURE] FOLDER PACKAGE...
download() {
  local suite=$1 folder=$2
  shift 2
  (cd "$folder" && suite_apt "$suite" apt-get -qq download "$@" </dev/null)
}

# Unpacks packages of a suite into a folder; maintainer scripts are not run. Those that know no merged /usr write through the
# folder's links, as dpkg does where it installs.
unpack() {
  local suite=$1 target=$2 downloads
  shift 2
  downloads=$(mktemp -d "$cache/download.XXXXXX")
  if ! download "$suite" "$downloads" "$@"; then
    rm -rf "$downloads"
    return 1
  fi
  mkdir -p "$target"
  for package in "$downloads"/*.deb; do dpkg --fsys-tarfile "$package" | tar -x -C "$target" --keep-directory-symlink; done
  rm -rf "$downloads"
}
