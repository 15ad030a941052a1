#!/usr/bin/env bash
# Everything about the source that a machine can judge without running it. One line for each check, all of them always
# run, the output of a failed one below its line. Leaves dist/results/checks.json for .ci/run.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
PATH="$PATH:$PWD/node_modules/.bin"
# Seeing CI, the tools paint into files too, and heed NO_COLOR only in part.
export NO_COLOR=1
unset CI

passed=0
failed=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT

check() {
  local name=$1 started ended verdict
  shift
  started=$(date +%s%N)
  if "$@" >"$output" 2>&1 </dev/null; then
    verdict=ok
    passed=$((passed + 1))
  else
    verdict=FAIL
    failed=$((failed + 1))
  fi
  ended=$(date +%s%N)
  printf '%-4s  %-52s %6d ms\n' "$verdict" "$name" $(((ended - started) / 1000000))
  if [ "$verdict" = FAIL ]; then sed 's/^/      /' "$output"; fi
}

bpf_warnings() {
  make --no-print-directory objects-strict
}

shell_scripts() {
  local scripts
  mapfile -t scripts < <(git ls-files --cached --others --exclude-standard |
    while read -r file; do
      [ -f "$file" ] && head -c 64 "$file" | head -n 1 | grep -qE '^#!.*\b(ba)?sh\b' && printf '%s\n' "$file"
    done)
  [ "${#scripts[@]}" -gt 0 ] || { echo "no shell script found: is this a git checkout?"; return 1; }
  shellcheck "${scripts[@]}"
}

# Of mandoc's complaints the one about the date: a page without one is the same whenever it is made.
man_pages() {
  local complaints
  complaints=$(mandoc -T lint -W warning man/* | grep -v 'missing date'; for page in man/*; do groff -man -T utf8 -ww -z "$page" 2>&1; done)
  [ -z "$complaints" ] || { printf '%s\n' "$complaints"; return 1; }
}

# tsc also writes dist/, which holds the tools that the checks below run.
check "types: tsc, strict" tsc -p . --pretty false
check "lint: oxlint, type-aware, no warnings" oxlint --type-aware --deny-warnings
check "format: oxfmt" oxfmt --check .
check "columns: comments have at most 100, as code has" node dist/tools/check-columns.js
check "no dead code, exports or dependencies: knip" knip --no-progress
check "layers: imports only go downward, in no circle" node dist/tools/check-layers.js
check "BPF: no compiler warnings" bpf_warnings
check "BPF: no chain of calls needs more than the stack" node dist/tools/check-stack.js
check "ABI layouts match the BPF objects" node dist/tools/generate-abi.js --check
check "JSON Schema matches the validator" node dist/tools/generate-schema.js --check
check "reference, man pages, completions match what they describe" node dist/tools/generate-docs.js --check
check "man pages: mandoc and groff have nothing to say" man_pages
check "lock file: npm ci needs nothing else" node dist/tools/check-lockfile.js
check "shell scripts: shellcheck" shell_scripts
check "documents: links lead somewhere" node dist/tools/check-links.js
check "documents: ARCHITECTURE.md names what exists" node dist/tools/check-architecture.js

mkdir -p dist/results
printf '{ "passed": %d, "failed": %d }\n' "$passed" "$failed" >dist/results/checks.json
printf '%d checks passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
