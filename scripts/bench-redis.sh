#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# redis-benchmark against twzkvsd and against Debian's redis-server: the same machine,
# the same minutes, alternating rounds; medians of requests a second, and the ratio of
# twzkvsd to redis-server. Volatile servers write to no disk. Durable ones answer when
# the file system below DIR has it: redis-server with appendfsync=always, twzkvsd with
# --durable.
#   bench-redis.sh [REQUESTS] [ROUNDS] [DIR]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

requests=${1:-100000} rounds=${2:-3} base=${3:-${TMPDIR:-/tmp}}
"${CARGO:-cargo}" build --quiet --release -p twzkvsd
built=${CARGO_TARGET_DIR:-target}/release
memory=$(mktemp -d /dev/shm/redis.XXXXXX) disk=$(mktemp -d "$base/redis.XXXXXX")
running=()
finish() {
    local pid
    for pid in "${running[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$memory" "$disk"
}
trap finish EXIT

# start NAME COMMAND...: a server on the socket $memory/NAME.
start() {
    local socket=$memory/$1
    shift
    "$@" >"$socket.log" 2>&1 &
    running+=($!)
    for _ in {1..100}; do
        if [[ $(redis-cli -s "$socket" ping 2>/dev/null) == PONG ]]; then return; fi
        sleep 0.1
    done
    echo "bench-redis.sh: no server answers: $(tail -n 3 "$socket.log")" >&2
    exit 1
}

# measure SERVER TEST PIPELINE: requests a second.
measure() {
    local n=$requests
    if [[ $1 == *-durable ]]; then n=$((requests / 20)); fi
    redis-benchmark -s "$memory/$1" -t "$2" -n "$n" -r 100000 -P "$3" --csv 2>/dev/null |
        awk -F '","|"' -v test="${2^^}" '$2 == test { print $3 }'
}

for mode in volatile durable; do
    place=$memory twz=() redis=(--appendonly no)
    if [[ $mode == durable ]]; then
        place=$disk twz=(--durable) redis=(--appendonly yes --appendfsync always)
    fi
    mkdir "$place/redis-$mode"
    start "twz-$mode" env TWZ_POOL="$place/pool-$mode" "$built/twzkvsd" --no-tcp \
        --unix "$memory/twz-$mode" "${twz[@]}" --port 0
    start "redis-$mode" redis-server --port 0 --save '' --dir "$place/redis-$mode" \
        --unixsocket "$memory/redis-$mode" "${redis[@]}"
done

median() { sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }
printf '%-10s %-5s %9s %14s %14s %7s\n' mode test pipeline twzkvsd/s redis-server/s ratio
for mode in volatile durable; do
    for test in set get; do
        for pipeline in 1 16; do
            ours=() theirs=()
            for ((round = 0; round < rounds; round++)); do
                ours+=("$(measure "twz-$mode" "$test" "$pipeline")")
                theirs+=("$(measure "redis-$mode" "$test" "$pipeline")")
            done
            a=$(printf '%s\n' "${ours[@]}" | median) b=$(printf '%s\n' "${theirs[@]}" | median)
            awk -v a="$a" -v b="$b" -v m="$mode" -v t="$test" -v p="$pipeline" \
                'BEGIN { printf "%-10s %-5s %9d %14d %14d %7.2f\n", m, t, p, a, b, a / b }'
        done
    done
done
