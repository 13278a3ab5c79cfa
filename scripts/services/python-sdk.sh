#!/usr/bin/env bash
# Installs the official Python SDK into .services/python, where the SDK suite looks for it.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=.services/python
[ -e "$target/posthog/__init__.py" ] && exit 0
mkdir -p "$target"
python3 -m pip install --quiet --disable-pip-version-check --target "$target" posthog==7.91.1
