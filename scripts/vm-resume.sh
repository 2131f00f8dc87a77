#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# A count that goes on across power cuts: twzd keeps examples/counter on the
# kernel's pool, the machine's power is cut at random, and the next boot goes on:
#   vm-resume.sh [CUTS]      5, or 20 with TWZ_LONG=1
# What the counter said before each cut is held against what it may say: every
# number told, in order, none twice but the one that a cut left in doubt, which is
# told as "N again". TWZ_SEED repeats a run's cuts. Exits 77 when there is no machine.
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

# What each machine does: the first one adds the thread, the others find it.
command='twz threads show counter >/dev/null 2>&1 || twz threads add counter -- /bin/counter --every 0; exec twzd'

# boot LINE [FIRST]: a machine whose power is cut when it prints that, and which does
# FIRST before anything else; what it said is added to the report, under a line
# that says that it was started.
boot() {
    local status=0
    scripts/vm.sh run --timeout 300 --nvdimm "$work/nv.img" --pull-plug "$1" \
        --add "$built/twzd" --add "$built/counter" -- "${2:-} $command" >"$work/heard" || status=$?
    if ((status == 77)) && [[ ! -s $work/all ]]; then exit 77; fi
    if ((status != 0)); then
        tail -n 20 "$work/heard"
        echo "FAILED: the machine ended before it printed '$1' (exit $status)"
        exit 1
    fi
    # Half a line was not heard.
    [[ $(tail -c 1 "$work/heard") == '' ]] || sed -i '$d' "$work/heard"
    { echo "boot" && cat "$work/heard"; } >>"$work/all"
}

echo "vm-resume.sh: $cuts power cuts, seed $TWZ_SEED"
last=0
for ((cut = 1; cut <= cuts; cut++)); do
    # By turns after a number, as soon as the host has seen it, and after a time.
    if ((cut % 2)); then
        at=$((last + 10 + RANDOM % 500))
        boot "$at"
    else
        at=$((1 + RANDOM % 3)).$((100 + RANDOM % 900))
        boot 'PULL THE PLUG' "(sleep $at; echo 'PULL THE PLUG') & "
    fi
    heard=$(grep -E '^[0-9]+( again)?$' "$work/heard" | tail -n 1 | cut -d ' ' -f 1 || true)
    last=${heard:-$last}
    again=$(grep -cE '^[0-9]+ again$' "$work/heard" || true)
    echo "cut $cut: at $at, heard up to $last; told again: $again"
done
# The last boot shows that the last cut is survived too.
boot $((last + 50))

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
    /^twzd: counter: (lost|cannot|given up|not run)/ { wrong($0) }
    /^(counter|twzd): run [0-9]+ was lost: PowerCut$/ { resumed++ }
    END {
        if (boots != cuts + 1) wrong(boots " boots of " cuts + 1)
        if (resumed != cuts) wrong("resumed after a power cut " resumed + 0 " times of " cuts)
        printf "%d cuts, %d numbers told, the last %d; in doubt at a cut: %d heard twice, %d only then\n",
            cuts, told, last, doubled, saved
        exit bad > 0
    }' "$work/all"
echo "none lost, none repeated unmarked"
