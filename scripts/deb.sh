#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Makes the Debian source package of the module, and of it twz-dkms_VERSION_all.deb,
# in target/deb; prints the path of the latter. It carries the third-party crates,
# so that a host needs no network to build it. Made in a trixie tree of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=$(awk -F '"' '/^version/ { print $2; exit }' Cargo.toml)
crates=$(scripts/crates.sh)
tools=$(scripts/trixie.sh --chroot --packages build-essential,debhelper,dh-dkms) || exit

out=${CARGO_TARGET_DIR:-target}/deb
rm -rf "$out" && mkdir -p "$out/twz-$version"
out=$(realpath "$out") source=$out/twz-$version
# What git knows, or would with the next `git add`: no leftovers, no tests.
git ls-files -z --cached --others --exclude-standard kmod | while IFS= read -r -d '' path; do
    case $path in */tests/* | */golden/*) continue ;; esac
    [[ ! -e $path ]] || install -D -m"$(stat -c %a "$path")" "$path" "$source/${path#kmod/}"
done
cp -r "$crates" "$source/vendor"
sed -i "s/@VERSION@/$version/" "$source/dkms.conf"
mv "$source/dkms.conf" "$source/debian/twz-dkms.dkms"
cp "$source/debian/twz-dkms.dkms" "$source/dkms.conf"
date=$(git log -1 --format=%aD 2>/dev/null || date -R)
printf 'twz (%s) unstable; urgency=medium\n\n  * See the history of the repository.\n\n -- %s  %s\n' \
    "$version" "Twizzler on Linux <twz@localhost>" "$date" >"$source/debian/changelog"

log=$out/build.log
scripts/inside.sh "$tools" --bind "$out" /deb \
    sh -c "cd /deb/twz-$version && exec dpkg-buildpackage -us -uc" >"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    echo "deb.sh: FAILED: all of it is in $log" >&2
    exit 1
}
ls "$out"/*.deb
