#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs programs that report KTAP in the virtual machine, and sees to it that all
# of their report is there:
#   vm-test.sh [OPTION of vm.sh]...                      every suite and tool of tests/vm
#   vm-test.sh [OPTION of vm.sh]... -- PROGRAM [WORD]...  that one
# Fails if a test does, if a test that was announced did not report, if the kernel
# complained, or if the machine hung. Exits 77 when there is no machine.
set -euo pipefail
here=$PWD
top=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")

options=()
while (($#)) && [[ $1 != -- ]]; do options+=("$1") && shift; done
shift $(($# > 0))

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# boot [OPTION]... -- PROGRAM...: one machine; what it printed is in $work/report.
boot() {
    local status=0
    "$top/scripts/vm.sh" run --timeout 900 "${options[@]}" "$@" | tee "$work/report" || status=${PIPESTATUS[0]}
    # No machine at all is no failure; once one has run there is nothing to skip.
    if ((status == 77)) && [[ ! -s $work/report ]]; then exit 77; fi
    return "$status"
}

# ktap [OPTION]... -- PROGRAM...: one machine that reports. What was announced and
# did not report died with its program, or with the machine.
ktap() {
    local status=0
    boot "$@" || status=$?
    awk '
        /^KTAP version/ { documents++ }
        /^1\.\.[0-9]+/ { split($0, plan, /\.\./); announced += plan[2] }
        /^(not )?ok [0-9]+/ { reported++ }
        /^not ok [0-9]+/ { failed++ }
        END {
            for (n = reported + 1; n <= announced; n++) print "not ok " n " (announced, but it never reported)"
            if (!documents || !announced) print "FAILED: nothing in this was KTAP"
            printf "vm-test.sh: %d announced, %d reported, %d failed\n", announced, reported, failed
            exit !(documents && announced && reported == announced && !failed)
        }' "$work/report" || ((status)) || status=1
    ((status == 0)) || failed=1
}

# cut_at LINE [OPTION]... -- PROGRAM...: one machine whose power is cut at a line.
cut_at() {
    local line=$1
    shift
    boot --pull-plug "$line" "$@" || {
        echo "FAILED: the machine ended before its power was cut"
        failed=1
    }
}

if (($#)); then
    cd "$here"
    ktap -- "$@"
    exit "$failed"
fi

cd "$top"
"${CARGO:-cargo}" build --quiet --release -p twz-vm-tests
twz_vm=$(realpath "${CARGO_TARGET_DIR:-target}")/release/twz-vm

printf '\n-- every suite\n'
ktap -- "$twz_vm" all

printf '\n-- what was durable is there after a power cut\n'
cut_at 'PULL THE PLUG' --nvdimm "$work/persist.img" -- "$twz_vm" persist-write
ktap --nvdimm "$work/persist.img" -- "$twz_vm" persist-verify

# At a place that nobody chose; both numbers are in the output.
seed=$RANDOM last=$((100 + RANDOM % 300))
printf '\n-- a power cut during changes at random: seed %s, after step %s\n' "$seed" "$last"
cut_at "done $last" --nvdimm "$work/churn.img" -- "$twz_vm" churn "--seed=$seed" >"$work/steps"
tail -n 2 "$work/steps"
heard=$(sed -n 's/^done //p' "$work/report" | tail -n 1)
ktap --nvdimm "$work/churn.img" -- "$twz_vm" churn-verify "--seed=$seed" "--count=$((${heard:-0} + 1))"

module=$(scripts/kmod.sh)
printf '\n-- the stack that a verification takes in there\n'
scripts/vm-stack.sh "$module" || failed=1

printf '\n-- bad devices, and a device that is taken away\n'
ktap --no-module --add "$module=/lib/modules/twz.ko" -- "$twz_vm" devices
ktap -- "$twz_vm" unbind

printf '\n-- random calls, a pool overwritten under way, and everything at once\n'
ktap -- "$twz_vm" fuzz --count=20000
ktap -- "$twz_vm" fuzz-pool --count=5000
ktap -- "$twz_vm" stress --seconds=20
exit "$failed"
