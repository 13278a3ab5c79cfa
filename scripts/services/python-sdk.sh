#!/usr/bin/env bash
# Installs the official Python SDK, today's and version 3, into .services/python and .services/python-3, where the SDK
# suite looks for them.
set -euo pipefail
cd "$(dirname "$0")/../.."

install() {
  local target=.services/$1 version=$2
  [ -e "$target/posthog-$version.dist-info/METADATA" ] && return 0
  rm -rf "$target"
  mkdir -p "$target"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-warn-conflicts \
    --target "$target" "posthog==$version"
}

for package in "python 7.91.1" "python-3 3.25.0"; do
  # shellcheck disable=SC2086
  install $package || install $package
done
