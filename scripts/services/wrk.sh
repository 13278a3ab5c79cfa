#!/usr/bin/env bash
# Installs wrk, the load tool of the benchmarks, where there is none; without it they use autocannon, which is slower.
set -euo pipefail
if ! command -v wrk > /dev/null; then
  if [ "$(id -u)" != 0 ]; then
    echo "No wrk. Run this script as root, or install your system's package of that name." >&2
    exit 1
  fi
  install() { DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y wrk > /dev/null; }
  # The lists of packages may be missing or old.
  install || { apt-get -qq update > /dev/null && install; }
fi
command -v wrk
