#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Every test, part by part, and one last line that sums them up:
#   N passed, N failed, N skipped
# A part that reports tests of its own (as cargo test does, or as KTAP) counts as
# those; any other counts as one. A part that exits 77 is skipped: named, not passed. So
# is a test that is known to fail (KTAP's XFAIL).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

logs=${CARGO_TARGET_DIR:-target}/test-logs
mkdir -p "$logs"
passed=0 failed=0 skipped=0
failures=() skips=()
# Tests that find they cannot be run here say so in this file.
export TWZ_SKIPS=$PWD/$logs/skips
[[ $logs != /* ]] || TWZ_SKIPS=$logs/skips
: >"$TWZ_SKIPS"

# tally LOG: what the "test result:" lines of a log add up to, and the results
# below a line "KTAP version", as "PASS FAIL SKIP LINES".
# A test called child_... is a process of another test and does nothing alone: it
# does not count as one that passed.
tally() {
    awk '/^test (.*::)?child_.* \.\.\. ok$/ { pass-- }
         /^test result: / { pass += $4; fail += $6; skip += $8; lines++ }
         /^KTAP version/ { ktap = 1; lines++ }
         ktap && /^not ok [0-9]+/ { if (/ # XFAIL/) skip++; else fail++ }
         ktap && /^ok [0-9]+/ { if (/ # SKIP/) skip++; else pass++ }
         END { print pass + 0, fail + 0, skip + 0, lines + 0 }' "$1"
}

# part NAME TITLE COMMAND...
part() {
    local name=$1 title=$2 log=$logs/$1.log status=0 pass fail skip lines
    shift 2
    printf '\n== %s\n' "$title"
    "$@" 2>&1 | tee "$log" || status=${PIPESTATUS[0]}
    read -r pass fail skip lines < <(tally "$log")
    # A suite without a test in it is a failure that looks like a success.
    if ((status == 0 && lines > 0 && pass + fail + skip == 0)); then status=1; fi
    # A failure no test owns up to: it did not build, or it was no test suite.
    if ((status != 0 && status != 77 && fail == 0)); then fail=1; fi
    if ((status == 77)); then
        skip=$((skip + 1))
        skips+=("$name: $(grep -m1 SKIPPED "$log" || echo 'no reason given')")
    elif ((lines == 0 && status == 0)); then
        pass=1
    fi
    mapfile -t -O "${#skips[@]}" skips < <(sed -nE "s/^test (.*) \.\.\. ignored.*/$name: \1 (ignored)/p" "$log")
    mapfile -t -O "${#skips[@]}" skips < <(sed -nE "s/^ok [0-9]+ (.*) # SKIP ?(.*)/$name: \1 (\2)/p" "$log")
    mapfile -t -O "${#failures[@]}" failures < <(sed -nE "s/^test (.*) \.\.\. FAILED$/$name: \1/p" "$log")
    mapfile -t -O "${#skips[@]}" skips < <(sed -nE "s/^not ok [0-9]+ (.*) # XFAIL ?(.*)/$name: \1 (known to fail: \2)/p" "$log")
    mapfile -t -O "${#failures[@]}" failures < <(sed -nE "/ # XFAIL/!s/^not ok [0-9]+ (.*)/$name: \1/p" "$log")
    ((status == 0 || status == 77)) || failures+=("$name (exit $status, see $log)")
    passed=$((passed + pass)) failed=$((failed + fail)) skipped=$((skipped + skip))
}

part workspace 'The workspace: unit, property, process and style tests' \
    "${CARGO:-cargo}" test --workspace --exclude twz-bench --exclude twz-crash --exclude twz-fuzz --no-fail-fast
part scale 'The store at its full size, its stack and its instructions, in release' \
    "${CARGO:-cargo}" test --release -p twz-core --test scale --test stack --test instructions
part bench 'The race, at a size that measures nothing' \
    "${CARGO:-cargo}" test --release -p twz-bench
part msrv 'twz-abi and twz-core as the kernel builds them: rustc 1.85, core only' scripts/msrv.sh
part msrv-refuses 'That this build refuses std, alloc and a newer Rust' scripts/msrv.sh --self-test
part posix 'Suites and unmodified programs on files that are objects' \
    scripts/posix.sh --quick --layer names,run,mount,image --json "$logs/posix.json"
part kmod 'The kernel module, for an unmodified Debian kernel' scripts/kmod.sh
part vm 'The module in that kernel, in a virtual machine' scripts/vm-test.sh
part vm-guards 'That each attack succeeds where its guard is taken out' scripts/vm-guards.sh
part vm-suite "The library's own tests, on the kernel's pool" scripts/vm-suite.sh
part vm-mount "A mount of the kernel's pool, used by programs" tests/mount/vm.sh
part vm-readme "The README's kernel tour, as typed" scripts/vm-readme.sh
part trace "The module's own stores, as an emulator saw them: cut, recovered and judged" scripts/vm-trace.sh
part vm-resume 'A count that goes on when the power of that machine is cut' scripts/vm-resume.sh
part vm-plug 'Transactions in that machine when its power is cut' scripts/vm-plug.sh
part c-example 'The C examples, against an installed library' scripts/c-example.sh
part crash 'Power cuts: ten million crash states, each recovered and judged' \
    "${CARGO:-cargo}" run --release -p twz-crash -- --json "$logs/crash.json"
part fuzz 'A short fuzz of every target' scripts/fuzz.sh "${TWZ_FUZZ_SECONDS:-8}"
part miri 'The pure crates under Miri' scripts/miri.sh

here=$(wc -l <"$TWZ_SKIPS")
passed=$((passed - here)) skipped=$((skipped + here))
mapfile -t -O "${#skips[@]}" skips <"$TWZ_SKIPS"

echo
((${#skips[@]} == 0)) || printf 'skipped  %s\n' "${skips[@]}"
((${#failures[@]} == 0)) || printf 'FAILED   %s\n' "${failures[@]}"
((passed > 0)) || echo "FAILED   no test ran at all"
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed > 0))
