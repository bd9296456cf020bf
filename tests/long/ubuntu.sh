#!/usr/bin/env bash
# Ubuntu 24.04 (glibc 2.39, gcc 13, Python 3.12): what new_glibc.sh does.
# timeout: 1500
MIRROR=${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu} SYSTEM=noble
# shellcheck source=tests/long/new_glibc.sh
. "$(dirname "$0")/new_glibc.sh"
