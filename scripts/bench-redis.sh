#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# redis-benchmark against twzkvsd and against Debian's redis-server: the same machine,
# the same minutes, in turns, each round beginning with the other one. Volatile servers
# write to no disk. Durable ones answer when the file system below DIR has it:
# redis-server with appendfsync=always, twzkvsd with --durable. "set" is of keys that are
# there already, "add" of new ones.
#   bench-redis.sh [REQUESTS] [ROUNDS] [DIR]
# Prints a table, medians with the lowest and the highest round, losses as they are, and
# writes target/bench/redis.json in the form of the other benches: microseconds of one
# request, and the ratio of twzkvsd to redis-server, paired by round, below 1 is faster.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

keys=1000
requests=${1:-50000} rounds=${2:-5} base=${3:-${TMPDIR:-/tmp}}
target=${CARGO_TARGET_DIR:-target}
"${CARGO:-cargo}" build --quiet --release -p twzkvsd
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
    for _ in {1..200}; do
        if [[ $(redis-cli -s "$socket" ping 2>/dev/null) == PONG ]]; then return; fi
        sleep 0.1
    done
    echo "bench-redis.sh: no server answers: $(tail -n 3 "$socket.log")" >&2
    exit 1
}

# measure SERVER TEST PIPELINE REQUESTS: requests a second.
measure() {
    local command=("$2" "key:__rand_int__") keys=$keys
    if [[ $2 == set ]]; then command+=(VXK); fi
    # Of so many keys hardly one comes twice.
    if [[ $2 == add ]]; then command=(set "new:__rand_int__" VXK) keys=1000000000; fi
    redis-benchmark -s "$memory/$1" -n "$4" -r "$keys" -P "$3" --csv "${command[@]}" 2>/dev/null |
        awk -F '","|"' 'NR == 2 { print $3; found = 1 } END { exit !found }'
}

# fill SERVER: has all keys be there.
fill() {
    local n
    for ((n = 0; n < keys; n++)); do printf 'SET key:%012d VXK\n' "$n"; done |
        redis-cli -s "$memory/$1" --pipe >/dev/null
}

for mode in volatile durable; do
    place=$memory twz=() redis=(--appendonly no)
    if [[ $mode == durable ]]; then
        place=$disk twz=(--durable) redis=(--appendonly yes --appendfsync always)
    fi
    mkdir "$place/data-$mode"
    start "twz-$mode" env TWZ_POOL="$place/pool-$mode" "$target/release/twzkvsd" --no-tcp \
        --unix "$memory/twz-$mode" "${twz[@]}" --port 0
    start "redis-$mode" redis-server --port 0 --save '' --dir "$place/data-$mode" \
        --unixsocket "$memory/redis-$mode" "${redis[@]}"
done

for mode in volatile durable; do
    fill "twz-$mode"
    fill "redis-$mode"
done

# case_of MODE TEST PIPELINE REQUESTS: one line a round, twzkvsd's and redis-server's.
case_of() {
    local round ours theirs
    for ((round = 0; round < rounds; round++)); do
        if ((round % 2)); then
            theirs=$(measure "redis-$1" "$2" "$3" "$4") ours=$(measure "twz-$1" "$2" "$3" "$4")
        else
            ours=$(measure "twz-$1" "$2" "$3" "$4") theirs=$(measure "redis-$1" "$2" "$3" "$4")
        fi
        echo "$1 $2 $3 $ours $theirs"
    done
}

{
    for test in set add get; do
        for pipeline in 1 16; do
            case_of volatile "$test" "$pipeline" "$requests"
            # SET and ADD are as slow as the disk; a GET touches none.
            few=$requests
            if [[ $test != get ]]; then few=$((requests / 5 + 50)); fi
            case_of durable "$test" "$pipeline" "$few"
        done
    done
} | tee "$memory/rounds" | awk '{ printf "." } END { print "" }' >&2

out=${TWZ_BENCH_DIR:-target/bench}
mkdir -p "$out"
sort -s -k1,1r -k2,2r -k3,3n "$memory/rounds" | awk -v json="$out/redis.json" '
    function middle(list, n,    i, j, t) {
        for (i = 2; i <= n; i++)
            for (j = i; j > 1 && list[j - 1] > list[j]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
        return list[int((n + 1) / 2)]
    }
    function flush_case(    a, b, r, bold) {
        if (!n) return
        a = middle(ours, n); b = middle(theirs, n); r = middle(ratio, n)
        split(name, part, " ")
        bold = (r > 1) ? "**" : ""
        printf "| %s | %s | %d | %d | %d | %s%.2f%s (%.2f to %.2f) |\n", part[1], toupper(part[2]), part[3],
            a, b, bold, r, bold, ratio[1], ratio[n]
        printf "%s\n  {\"bench\": \"redis\", \"case\": \"%s/%s/p%d\", \"subject\": \"twzkvsd\", \"peer\": \"redis-server\", " \
            "\"ratio\": %.3f, \"lo\": %.3f, \"hi\": %.3f, \"subject_value\": %.3f, \"peer_value\": %.3f, " \
            "\"unit\": \"us\", \"rounds\": %d}", (first++ ? "," : "["), part[1], part[2], part[3], \
            r, ratio[1], ratio[n], 1e6 / a, 1e6 / b, n > json
        n = 0
    }
    BEGIN {
        print "| | | pipeline | twzkvsd/s | redis-server/s | time, twzkvsd to redis-server |"
        print "|---|---|---|---|---|---|"
    }
    $1 " " $2 " " $3 != name { flush_case(); name = $1 " " $2 " " $3 }
    { n++; ours[n] = $4; theirs[n] = $5; ratio[n] = $5 / $4 }
    END { flush_case(); print "\n]" > json }'
