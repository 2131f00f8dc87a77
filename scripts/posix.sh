#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs file-system suites and unmodified programs on files that are objects:
#   posix.sh [--quick] [--layer names|run|mount] [--only SUITE[.JOB]] [--json FILE]...
# TWZ_POSIX_DIR says where, and so on which file system: else in memory where that is
# possible, for how fast a disk is would only blur it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/deps.sh posix
# With that layer programs are run with the preload library, which `twz` looks for beside it.
preload=
[[ " $* " != *' --layer run '* && " $* " != *' --layer=run '* ]] || preload=libtwz_posix.so
"${CARGO:-cargo}" build --release -p twzd -p twz-posix-tests ${preload:+-p twz-posix}
cache=$(scripts/posix-tools.sh)

# Programs run as other users, and those may not see where the tools are cached.
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
on=${TWZ_POSIX_DIR:-}
[[ -n $on ]] || { [[ -w /dev/shm ]] && on=/dev/shm || on=${TMPDIR:-/tmp}; }
built=${CARGO_TARGET_DIR:-target}/release
cp "$cache"/* "$built/twz" ${preload:+"$built/$preload"} "$tools/"
chmod 755 "$tools"
"$built/posix-suites" --tools "$tools" --twz "$tools/twz" --on "$on" "$@"
