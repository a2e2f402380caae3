#!/bin/sh
# Installs what is missing from the distribution's packages (Debian 12, Ubuntu 24.04 and later).
# Sourced or run by the other scripts; does nothing, and says nothing, when all is there.
# Usage: scripts/setup.sh PACKAGE...
set -eu

missing=
for package in "$@"; do
  if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then
    missing="$missing $package"
  fi
done
[ -n "$missing" ] || exit 0

echo "Installing:$missing"
as_root=
if [ "$(id -u)" -ne 0 ]; then
  as_root=sudo
  if ! command -v sudo >/dev/null; then
    echo "These packages are missing and need root to install:$missing" >&2
    exit 1
  fi
fi
$as_root apt-get update -qq
# shellcheck disable=SC2086  # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  $missing >/dev/null
