#!/usr/bin/env bash
# Installs the tools that the crash suites use to stop the engine at a system call (strace) and to move the clock below
# Node (libfaketime); without them those tests are left out.
set -euo pipefail
if command -v strace > /dev/null && ls /usr/lib/*/faketime/libfaketimeMT.so.1 > /dev/null 2>&1; then exit 0; fi
if [ "$(id -u)" != 0 ]; then
  echo "Run this script as root, or install strace and faketime with your system's packages." >&2
  exit 1
fi
install() { DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y strace faketime > /dev/null; }
# The lists of packages may be missing or old.
install || { apt-get -qq update > /dev/null && install; }
