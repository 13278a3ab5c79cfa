#!/usr/bin/env bash
# Installs Debian's Chromium where there is none, and prints the path of the binary that the browser suites start.
set -euo pipefail
binary=${CHROMIUM_PATH:-/usr/bin/chromium}
if [ ! -x "$binary" ]; then
  if [ -n "${CHROMIUM_PATH:-}" ]; then
    echo "CHROMIUM_PATH names no program: $CHROMIUM_PATH" >&2
    exit 1
  fi
  if [ "$(id -u)" != 0 ]; then
    echo "No $binary. Run this script as root, or set CHROMIUM_PATH to the Chromium or Chrome that you have." >&2
    exit 1
  fi
  install() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y chromium > /dev/null
  }
  # The lists of packages may be missing or old.
  install || { apt-get -qq update > /dev/null && install; }
fi
echo "$binary"
