#!/bin/sh
# Rewrites the generated files; `make check` fails while one of them is stale.
set -eu
cd "$(dirname "$0")/.."
for generator in generate-abi generate-schema generate-docs; do
  node "dist/tools/$generator.js"
done
