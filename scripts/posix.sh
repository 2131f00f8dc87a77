#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs file-system suites and unmodified programs on files that are objects:
#   posix.sh [--quick] [--layer names|run|mount|image,...] [--only SUITE[.JOB]] [--json FILE]...
# TWZ_POSIX_DIR says where, and so on which file system: else in memory where that is
# possible, for how fast a disk is would only blur it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

what=(posix)
[[ " $* " == *' --quick '* ]] || what+=(posix-all)
scripts/deps.sh "${what[@]}"
# With that layer programs are run with the preload library, which `twz` looks for beside it.
preload=
[[ ! " $* " =~ ' '--layer[=\ ][a-z,]*run ]] || preload=libtwz_posix.so
"${CARGO:-cargo}" build --release -p twzd -p twz-posix-tests ${preload:+-p twz-posix}
built=${CARGO_TARGET_DIR:-target}/release

# Programs run as other users, and those may not see where the tools are cached.
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
chmod 755 "$tools"
on=${TWZ_POSIX_DIR:-}
[[ -n $on ]] || { [[ -w /dev/shm ]] && on=/dev/shm || on=${TMPDIR:-/tmp}; }
suites=("$built/posix-suites" --tools "$tools" --twz "$tools/twz" --on "$on" "$@")

# What the wanted suites need, for those that have a recipe.
mapfile -t wanted < <("${suites[@]}" --list | cut -d. -f1 | uniq)
for suite in "${wanted[@]}"; do
    [[ -f tests/posix/recipes/$suite.sh ]] || continue
    made=$(scripts/posix-tools.sh "$suite")
    cp -a "$made" "$tools/$suite"
done
ln -s "$(rustc --print sysroot)" "$tools/rust"
cp "$built/twz" ${preload:+"$built/$preload"} "$tools/"
"${suites[@]}"
