#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# pjdfstest, from crates.io, on a mount of each kind of pool there is without the kernel
# module: pjdfstest.sh [directory|image]...   Needs root. MOUNT.md has the counts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

target=$(realpath "${CARGO_TARGET_DIR:-target}")
[[ -x $target/pjdfstest/bin/pjdfstest ]] ||
    CARGO_TARGET_DIR=$target/pjdfstest/build "${CARGO:-cargo}" install --quiet --locked --debug \
        pjdfstest --version 0.2.2 --root "$target/pjdfstest"
"${CARGO:-cargo}" build --quiet -p twzd
twz=$target/debug/twz

work=$(mktemp -d /dev/shm/pjdfstest.XXXX)
trap '"$twz" --quiet umount --lazy "$work/mount" 2>/dev/null || true; rm -rf "$work"' EXIT
cat >"$work/config" <<'CONFIG'
[features]
file_flags = []
posix_fallocate = {}
rename_ctime = {}
utimensat = {}
utime_now = {}

[settings]
naptime = 0.01
allow_remount = false

[dummy_auth]
entries = [
  ["nobody", "nogroup"],
  ["daemon", "daemon"],
  ["bin", "bin"],
]
CONFIG

for home in "${@:-directory image}"; do
    for kind in $home; do
        rm -rf "$work/pool" && mkdir -p "$work/mount" && chmod 755 "$work"
        options=()
        [[ $kind != image ]] || options=(--image --size 64M)
        "$twz" --quiet --pool "$work/pool" pool init "${options[@]}"
        "$twz" --quiet --pool "$work/pool" mount "$work/mount"
        chmod 777 "$work/mount"
        echo "-- pjdfstest on a mount of a pool: $kind"
        "$target/pjdfstest/bin/pjdfstest" -c "$work/config" -p "$work/mount" || true
        "$twz" --quiet umount "$work/mount"
        "$twz" --pool "$work/pool" pool check
    done
done
