#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Fuzzes every target of tests/fuzz for SECONDS each (default 60), with plain
# stable cargo: libFuzzer, and the coverage flags cargo-fuzz would pass. A
# crash is kept, and the command that reproduces it printed.
#   fuzz.sh [SECONDS] [TARGET...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-60}
shift $(($# > 0))
triple=$(rustc -vV | awk '/^host:/ { print $2 }')
dir=${CARGO_TARGET_DIR:-target}/fuzz
flags=(
    --cfg fuzzing
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
    -Ccodegen-units=1
    -Cdebug-assertions
    -Coverflow-checks
)
# With a --target named, build scripts and proc macros stay uninstrumented.
RUSTFLAGS="${flags[*]}" "${CARGO:-cargo}" build --release -p twz-fuzz --bins \
    --target "$triple" --target-dir "$dir"

# fuzz TARGET: one run, its last words in a log, one line for the reader.
fuzz() {
    local bin=$dir/$triple/release/$1 log=$dir/$1.log
    local corpus=tests/fuzz/corpus/$1 seeds=tests/fuzz/seeds/$1 kept=tests/fuzz/artifacts/$1
    mkdir -p "$corpus" "$kept"
    [[ -d $seeds ]] || seeds=
    local verdict=ok
    "$bin" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$kept/" "$corpus" ${seeds:+"$seeds"} >"$log" 2>&1 || verdict=FAILED
    printf '%-16s %s, %s executions, %s inputs in the corpus\n' "$1" "$verdict" \
        "$(awk '/number_of_executed_units/ { n = $2 } END { print n + 0 }' "$log")" \
        "$(find "$corpus" -type f | wc -l)"
    [[ $verdict == ok ]] && return
    tail -n 30 "$log"
    local crash
    crash=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n1)
    [[ -z $crash ]] || echo "reproduce with: $bin $crash"
    return 1
}

# Targets that need a pool make it in the temporary directory: in memory if possible.
shm=/dev/shm
[[ -w $shm ]] || shm=${TMPDIR:-/tmp}
TMPDIR=$(mktemp -d -p "$shm")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

targets=("$@")
((${#targets[@]})) || mapfile -t targets < <(basename -s .rs tests/fuzz/fuzz_targets/*.rs)
failed=0
for target in "${targets[@]}"; do
    fuzz "$target" || failed=$((failed + 1))
done
echo "${#targets[@]} targets, $failed failed, $seconds seconds each"
((failed == 0))
