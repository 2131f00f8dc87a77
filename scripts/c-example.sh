#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Compiles and runs the C examples the way a user would: against an installed
# copy of the library, found through pkg-config, with warnings denied.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mapfile -t sources < <(find examples libtwz -name '*.c' | sort)
if ((${#sources[@]} == 0)); then
    echo "FAILED: no C example under examples/ or libtwz/"
    exit 1
fi

"${CARGO:-cargo}" build -p twzd -p twz -p twz-posix
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
TWZ_PROFILE=debug PREFIX=$prefix DESTDIR='' scripts/install.sh >/dev/null
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib

for source in "${sources[@]}"; do
    echo "$source"
    # shellcheck disable=SC2046 # pkg-config's answer is a list of words
    gcc -std=c11 -Wall -Wextra -Werror -o "$prefix/example" "$source" \
        $(pkg-config --cflags --libs twz) $(grep -qs twz_posix.h "$source" && echo -ltwz_posix)
    # What it makes beside its pool goes there, too.
    work=$(mktemp -d -p "$prefix")
    (cd "$work" && TWZ_POOL=$work/pool "$prefix/example")
done
