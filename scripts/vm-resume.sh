#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# A count that goes on across power cuts: twzd keeps examples/counter on the
# kernel's pool, the machine's power is cut at random, and the next boot goes on:
#   vm-resume.sh [CUTS]      5, or 20 with TWZ_LONG=1
# What the counter sent over the serial line before each cut is held against what it
# may say: every number, in order, none twice but the one that a cut left in doubt,
# which is told as "N again". Not over a virtio port, which takes more than it has
# passed on. TWZ_SEED repeats a run's cuts. Exits 77 when there is no machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cuts=5
[[ -z ${TWZ_LONG:-} ]] || cuts=20
cuts=${1:-$cuts}
RANDOM=${TWZ_SEED:=$RANDOM}

"${CARGO:-cargo}" build --quiet --release -p twzd -p twz-examples
built=${CARGO_TARGET_DIR:-target}/release
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/all"

# What each machine does: the first one adds the thread, the others find it. The
# line is the counter's alone.
command="dmesg -n 1; twz threads show counter >/dev/null 2>&1 ||
    twz threads add counter -- /bin/counter --every 0; exec twzd >/dev/ttyS0"

# boot COMMAND: a machine that does it, and whose power is cut if it says so; what was
# heard is added to the report, under a line that says that it was started.
boot() {
    local status=0
    # On a busy host the kernel finds its emulated timer too slow to be one.
    scripts/vm.sh run --append no_timer_check --timeout 300 --nvdimm "$work/nv.img" --log "$work/serial" \
        --pull-plug 'PULL THE PLUG' --add "$built/twzd" --add "$built/counter" \
        -- "$1" >"$work/said" || status=$?
    if ((status == 77)) && [[ ! -s $work/all ]]; then exit 77; fi
    if ((status != 0)); then
        tail -n 20 "$work/said"
        echo "FAILED: the machine did not get that far (exit $status)"
        exit 1
    fi
    # Half a line was not heard.
    sed -n '$!p; ${/\r$/p}' "$work/serial" | tr -d '\r' >"$work/lines"
    grep -aE '^[0-9]+( again)?$' "$work/lines" >"$work/heard" || true
    # What was said between two numbers, in case that one of them turns out to be missing.
    grep -anvE '^[0-9]+( again)?$' "$work/lines" | tail -n 8 | cat -v | sed 's/^/beside them: /' >>"$work/beside" || true
    { echo "boot" && cat "$work/said" "$work/heard"; } >>"$work/all"
}

echo "vm-resume.sh: $cuts power cuts, seed $TWZ_SEED"
for ((cut = 1; cut <= cuts; cut++)); do
    after=$((1 + RANDOM % 2)).$((100 + RANDOM % 900))
    boot "(sleep $after; echo 'PULL THE PLUG') & $command"
    echo "cut $cut: after $after s, heard $(head -n 1 "$work/heard") to $(tail -n 1 "$work/heard")"
done
# The last boot shows that the last cut is survived too; and that a thread which anybody
# can have written is not run, by root's daemon or for root.
boot 'dmesg -n 1; chmod 666 /dev/twz; ! twzd --once || exit 3; ! twzd --once --trust-pool || exit 4
    chmod 660 /dev/twz; twzd >/dev/ttyS0 & sleep 2; kill $!; wait $! || exit 5
    twz threads show counter | grep -q "^state *lost" || exit 6'

awk -v cuts="$cuts" '
    function wrong(what) { print "FAILED: boot " boots ": " what; bad++ }
    $0 == "boot" { boots++; first = 1; next }
    /^[0-9]+ again$/ {
        if (!first) wrong("\"" $0 "\" comes after other numbers")
        # It was heard before the cut, or it was not: both are right.
        if ($1 == last) doubled++
        else if ($1 == last + 1) { last++; saved++ }
        else wrong("\"" $0 "\" after " last)
        first = 0; next
    }
    /^[0-9]+$/ {
        if ($1 <= last) wrong($1 " was told before: " last " is the last")
        else if ($1 != last + 1) wrong("between " last " and " $1 " numbers are lost")
        last = $1; first = 0; told++; next
    }
    /^twzd: counter: not run: (others may open the device|root.s are not trusted)/ { refused++; next }
    /^twzd: counter: (lost|cannot|given up|not run)/ { wrong($0) }
    /^(counter|twzd): run [0-9]+ was lost: PowerCut$/ { resumed++ }
    END {
        if (boots != cuts + 1) wrong(boots " boots of " cuts + 1)
        if (refused != 2) wrong("refused " refused + 0 " times of 2")
        if (resumed != cuts) wrong("resumed after a power cut " resumed + 0 " times of " cuts)
        if (told < 10 * cuts) wrong("only " told + 0 " numbers were told")
        printf "%d cuts, %d numbers told, the last %d; in doubt at a cut: %d heard twice, %d only then\n",
            cuts, told, last, doubled, saved
        exit bad > 0
    }' "$work/all" || { cat "$work/beside" && exit 1; }
echo "none lost, none repeated unmarked"
