#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The library's own tests, unchanged, with the kernel module as the home of their
# objects: in the virtual machine, program by program, one test at a time since they
# share its one pool. Then those of transactions in a directory of an ext4 on the same
# memory, where the library maps with MAP_SYNC and writes cache lines back. Tests that
# are about directories or images name themselves in the file TWZ_SKIPS. Exits 77 when
# there is no machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mkfs=$(command -v mkfs.ext4 || echo /usr/sbin/mkfs.ext4)
[[ -x $mkfs ]] || { echo "vm-suite.sh: no mkfs.ext4: install e2fsprogs" >&2 && exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Those of the library, of processes and of a store, stripped: they are unpacked into memory.
cargo=("${CARGO:-cargo}" test --release --no-run --message-format=json-render-diagnostics -p twz -p twz-tests -p twzkvs)
"${cargo[@]}" --lib --test bundle --test collections --test fork --test fot --test graph --test heap \
    --test kvs --test persist --test ptr_map --test record --test rights --test space --test tx --test wait --test processes \
    2>"$work/errors" >"$work/built" || {
    cat "$work/errors" && exit 1
}
add=()
while read -r name program; do
    strip -o "$work/$name" "$program"
    add+=(--add "$work/$name=/tests/$name")
done < <(sed -nE 's/.*"name":"([a-z_]+)".*"profile":\{[^}]*"test":true.*"executable":"([^"]+)".*/\1 \2/p' "$work/built" |
    awk '!seen[$1]++ && $1 != "twz_tests"')
((${#add[@]} > 10)) || { echo "vm-suite.sh: FAILED: the tests were not built" && exit 1; }
"${CARGO:-cargo}" build --quiet --release -p twz-tests --bins
strip -o "$work/worker" "${CARGO_TARGET_DIR:-target}/release/worker"
add+=(--add "$work/worker")

cat >"$work/suite" <<'SCRIPT'
export TWZ_BACKEND=kernel TWZ_SKIPS=/tmp/skips TWZ_WORKER=/bin/worker TMPDIR=/tmp
: >$TWZ_SKIPS
status=0
for program in /tests/*; do
    echo "-- $program, on the kernel's pool"
    "$program" --test-threads=1 || status=1
done
# What transactions have left is the library's own affair. Every test empties the pool
# first, so it is one with transactions that runs last.
/tests/tx --exact an_inner_one_is_undone_alone >/tmp/last || { cat /tmp/last && status=1; }
for kind in log processes; do
    if twz --pool /dev/twz ls | grep " $kind "; then echo "FAILED: $kind is shown" && status=1; fi
    twz --pool /dev/twz ls --all | grep -q " $kind " || { echo "FAILED: no $kind" && status=1; }
done
sed 's/^/SKIPPED HERE /' $TWZ_SKIPS

export TWZ_BACKEND=embedded TMPDIR=/dax
rmmod twz && mkfs.ext4 -q -b 4096 /dev/pmem0 && mkdir /dax && mount -t ext4 -o dax /dev/pmem0 /dax || exit 1
twz pool init /dax/pool >/dev/null && twz --pool /dax/pool pool info | grep MAP_SYNC ||
    { echo "FAILED: it does not map with MAP_SYNC" && status=1; }
for tests in "twz what_cannot_be_mapped_with_map_sync" tx ptr_map; do
    echo "-- $tests, in a directory on persistent memory"
    /tests/$tests --test-threads=1 || status=1
done
exit $status
SCRIPT
status=0
scripts/vm.sh run --timeout 1500 --memory 2048 --nvdimm-size 2048 --add "$mkfs" "${add[@]}" \
    --add "$work/suite=/bin/suite" -- sh /bin/suite | tee "$work/out" || status=${PIPESTATUS[0]}
# Whoever counts takes them off those that passed.
[[ -z ${TWZ_SKIPS:-} ]] || sed -n 's/^SKIPPED HERE /on the kernel: /p' "$work/out" >>"$TWZ_SKIPS"
exit "$status"
