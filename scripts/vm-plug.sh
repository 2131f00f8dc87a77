#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Transactions across power cuts: a program changes objects in the kernel's pool
# (tests/crash/src/plug.rs), the machine's power is cut at random, and the next boot
# recovers, compares, and has the pool checked:
#   vm-plug.sh [ROUNDS]      4, or 200 with TWZ_LONG=1
# What the program sent over the serial line before the cut was acknowledged: all of it
# must be there, at most the one transaction after it, and none by half. One cut in
# eight comes as soon as the recovery begins. TWZ_SEED repeats a run's cuts. Exits 77
# when there is no machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rounds=4
[[ -z ${TWZ_LONG:-} ]] || rounds=200
rounds=${1:-$rounds}
RANDOM=${TWZ_SEED:=$RANDOM}

"${CARGO:-cargo}" build --quiet --release -p twz-crash
# Built once, not looked at before each boot.
module=$(scripts/kmod.sh) || exit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
strip -o "$work/plug" "${CARGO_TARGET_DIR:-target}/release/twz-crash"
: >"$work/all"

# The pool is checked where the module was before, by who has the device alone.
look='plug --plug-look /dev/twz || exit 3
    rmmod twz && twz --pool /dev/pmem0 pool check || exit 4
    insmod /lib/modules/twz.ko || exit 5'

# boot COMMAND: a machine that does it; what it said and what was heard goes to the report.
boot() {
    local status=0
    # On a busy host the kernel finds its emulated timer too slow to be one.
    scripts/vm.sh run --append no_timer_check --timeout 300 --nvdimm "$work/nv.img" --nvdimm-size 128 \
        --module "$module" --log "$work/serial" --pull-plug 'PULL THE PLUG' --add "$work/plug" -- "dmesg -n 1; $1" >"$work/said" || status=$?
    if ((status == 77)) && [[ ! -s $work/all ]]; then exit 77; fi
    # Half a line was not heard.
    sed -n '$!p; ${/\r$/p}' "$work/serial" | tr -d '\r' | grep -aE '^told [0-9]+ [0-9]+$' >"$work/heard" || true
    { echo "boot" && cat "$work/said" "$work/heard"; } >>"$work/all"
    ((status == 0)) && return
    tail -n 20 "$work/said"
    echo "FAILED: boot $(grep -c '^boot$' "$work/all") ended with $status"
    exit 1
}

echo "vm-plug.sh: $rounds power cuts, seed $TWZ_SEED"
boot "$look"
for ((round = 1; round <= rounds; round++)); do
    if ((RANDOM % 8 == 0)); then
        after=0.0$((RANDOM % 10))
        boot "(sleep $after; echo 'PULL THE PLUG') & $look; sleep 60"
        what=recovering
    else
        after=$((RANDOM % 2)).$((100 + RANDOM % 900))
        boot "$look; (sleep $after; echo 'PULL THE PLUG') & exec plug --plug-write /dev/twz >/dev/ttyS0"
        what="told $(wc -l <"$work/heard")"
    fi
    echo "cut $round: after $after s, $what"
done
boot "$look"

awk -v rounds="$rounds" '
    function wrong(what) { print "FAILED: boot " boots ": " what; bad++ }
    $1 == "boot" { boots++; next }
    $1 == "told" {
        if ($3 != last[$2] + 1) wrong("lane " $2 " told " $3 " after " last[$2] + 0)
        last[$2] = $3; told++; next
    }
    $1 == "seen" {
        seen++
        # Told, or in doubt: it had happened when the plug was pulled, and nobody heard of it.
        if ($3 == last[$2] + 1) saved++
        else if ($3 != last[$2] + 0) wrong("lane " $2 " told " last[$2] + 0 ", and " $3 " are there")
        last[$2] = $3; next
    }
    /FAILED/ { wrong($0) }
    /nothing is wrong$/ { clean++ }
    END {
        if (boots != rounds + 2) wrong(boots " boots of " rounds + 2)
        # A cut in a recovery may come before it has said anything.
        if (clean < rounds * 0.6 || seen < 2 * clean) wrong(clean + 0 " clean checks, " seen + 0 " lanes seen")
        if (told < 10 * rounds) wrong("only " told + 0 " transactions were told")
        printf "%d cuts, %d transactions told and all there, %d more there that nobody heard of, " \
            "%d recoveries seen whole, %d clean checks\n", rounds, told, saved, seen / 2, clean
        exit bad > 0
    }' "$work/all"
echo "none lost, none half there"
