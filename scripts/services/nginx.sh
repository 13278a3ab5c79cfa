#!/usr/bin/env bash
# Unpacks nginx into .services/nginx, where the reverse proxy suite looks for it. Nothing is installed in the system, so
# no server is started on port 80.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=$PWD/.services/nginx
if [ ! -x "$target/usr/sbin/nginx" ]; then
  mkdir -p "$target"
  cd "$target"
  # Debian has the program in one package, older Ubuntus in the other.
  for package in nginx nginx-core; do
    fetch() { apt-get -qq -o APT::Sandbox::User=root download "$package" > /dev/null; }
    # The lists of packages may be missing or old.
    fetch || { apt-get -qq update > /dev/null && fetch; }
    dpkg -x "$package"_*.deb .
    rm -f "$package"_*.deb
    if [ -x usr/sbin/nginx ]; then break; fi
  done
fi
echo "$target/usr/sbin/nginx"
