#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Races faults on objects against ext4-DAX and tmpfs, in one boot of the virtual
# machine: `twz-vm bench` prints a table, and its records go to
# target/bench/fault.json. Under software emulation times are good as ratios only,
# and on a busy host not even as these: with --icount a nanosecond is an instruction
# of the one processor that there is then, so that runs are alike wherever they are.
# Exits 77 without a machine.
#   vm-bench.sh [--icount] [--count=N]      objects in the second half, 1000000
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
machine=()
if [[ ${1:-} == --icount ]]; then machine=(--icount) && shift; fi

"${CARGO:-cargo}" build --quiet --release -p twz-vm-tests
target=$(realpath "${CARGO_TARGET_DIR:-target}")
mkfs=$(command -v mkfs.ext4 || echo /usr/sbin/mkfs.ext4)
[[ -x $mkfs ]] || { echo "vm-bench.sh: no mkfs.ext4: install e2fsprogs" >&2 && exit 1; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
scripts/vm.sh run "${machine[@]}" --timeout 3600 --second 640 --nvdimm-size 1536 --add "$mkfs" -- \
    "$target/release/twz-vm" bench "$@" | tee "$log" | grep -v '^json ' || exit "${PIPESTATUS[0]}"
mkdir -p "$target/bench"
sed -n 's/^json //p' "$log" | awk 'BEGIN { print "[" } NR > 1 { print prev "," } { prev = $0 } END { if (NR) print prev; print "]" }' \
    >"$target/bench/fault.json"
[[ $(wc -l <"$target/bench/fault.json") -gt 3 ]] || { echo "vm-bench.sh: FAILED: it printed no records" >&2 && exit 1; }
echo "wrote ${CARGO_TARGET_DIR:-target}/bench/fault.json"
