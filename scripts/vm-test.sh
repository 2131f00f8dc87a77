#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs programs that report KTAP in the virtual machine, and sees to it that all
# of their report is there:
#   vm-test.sh [OPTION of vm.sh]...                      every suite of tests/vm
#   vm-test.sh [OPTION of vm.sh]... -- PROGRAM [WORD]...  that one
# Fails if a test does, if a test that was announced did not report, if the kernel
# complained, or if the machine hung. Exits 77 when there is no machine.
set -euo pipefail
here=$PWD
top=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")

options=()
while (($#)) && [[ $1 != -- ]]; do options+=("$1") && shift; done
shift $(($# > 0))

program=("$@")
if ((${#program[@]} == 0)); then
    cd "$top"
    "${CARGO:-cargo}" build --quiet --release -p twz-vm-tests
    program=("$(realpath "${CARGO_TARGET_DIR:-target}")/release/twz-vm" all)
    cd "$here"
fi

report=$(mktemp)
trap 'rm -f "$report"' EXIT
status=0
"$top/scripts/vm.sh" run --timeout 900 "${options[@]}" -- "${program[@]}" | tee "$report" ||
    status=${PIPESTATUS[0]}

# Once it has run there is nothing left to skip, whatever it says.
((status != 77)) || [[ ! -s $report ]] || status=1

# What was announced and did not report died with its program, or with the machine.
((status == 77)) || awk '
    /^KTAP version/ { documents++ }
    /^1\.\.[0-9]+/ { split($0, plan, /\.\./); announced += plan[2] }
    /^(not )?ok [0-9]+/ { reported++ }
    /^not ok [0-9]+/ { failed++ }
    END {
        for (n = reported + 1; n <= announced; n++) print "not ok " n " (announced, but it never reported)"
        if (!documents || !announced) print "FAILED: nothing in this was KTAP"
        printf "vm-test.sh: %d announced, %d reported, %d failed\n", announced, reported, failed
        exit !(documents && announced && reported == announced && !failed)
    }' "$report" || ((status)) || status=1
exit "$status"
