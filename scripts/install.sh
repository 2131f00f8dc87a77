#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Copies what a build made (TWZ_PROFILE, default release) to where a system looks for it: the command,
# its manual pages and completions, what mount(8) calls, the library, its header and pkg-config file, and
# the preload library.
# PREFIX (default /usr/local) is where it will live, DESTDIR is put before it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

prefix=${PREFIX:-/usr/local}
to=${DESTDIR:-}$prefix
from=${CARGO_TARGET_DIR:-target}/${TWZ_PROFILE:-release}
version=$(awk -F '"' '/^version/ { print $2; exit }' Cargo.toml)

install -Dm755 "$from/twz" "$to/bin/twz"
install -Dm755 "$from/twzd" "$to/bin/twzd"
install -Dm755 "$from/libtwz.so" "$to/lib/libtwz.so"
install -Dm755 "$from/libtwz_posix.so" "$to/lib/libtwz_posix.so"
install -Dm644 "$from/libtwz.a" "$to/lib/libtwz.a"
install -Dm644 libtwz/include/twz.h "$to/include/twz.h"
install -Dm644 libtwz/include/twz_posix.h "$to/include/twz_posix.h"

# put PATH: the standard input as a file, readable by all.
put() { install -Dm644 /dev/stdin "$to/$1"; }
sed -e "s|@PREFIX@|$prefix|g" -e "s|@VERSION@|$version|g" libtwz/twz.pc.in |
    put lib/pkgconfig/twz.pc
for unit in twzd.service twzd-keys.service twzd-keys.socket; do
    sed "s|@PREFIX@|$prefix|g" "twzd/$unit" | put "lib/systemd/system/$unit"
done
sed "s|@PREFIX@|$prefix|g" twzd/mount.fuse.twz | install -Dm755 /dev/stdin "$to/sbin/mount.fuse.twz"
"$from/twzd" --manual | put share/man/man8/twzd.8
"$from/twz" completions bash | put share/bash-completion/completions/twz
"$from/twz" completions zsh | put share/zsh/site-functions/_twz
"$from/twz" completions fish | put share/fish/vendor_completions.d/twz.fish

pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
"$from/twz" man "$pages" >/dev/null
install -d "$to/share/man/man1"
install -m644 "$pages"/*.1 "$to/share/man/man1/"
echo "installed twz $version under $to"
