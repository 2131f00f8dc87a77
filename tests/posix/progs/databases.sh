#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Databases, and what they find after a kill.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/shared.sh"

quick_sqlite_journal() {
    local mode
    for mode in delete truncate persist; do
        sqlite3 "$mode.db" "pragma journal_mode=$mode; create table t(k integer primary key, v text);" >/dev/null
        seq 2000 | sed 's/.*/insert into t values(&, "value &");/; 1i begin;' >sql
        echo 'commit;' >>sql
        sqlite3 "$mode.db" <sql
        sqlite3 "$mode.db" 'begin; delete from t; rollback; delete from t where k % 2; vacuum;'
        same "$mode" "$(sqlite3 "$mode.db" 'select count(*), sum(k) from t; pragma integrity_check;' | tr '\n' ' ')" '1000|1001000 ok '
    done
}

quick_sqlite_wal() {
    sqlite3 w.db 'pragma journal_mode=wal; create table t(who, n);' >/dev/null
    for who in 1 2 3 4; do
        (for n in $(seq 25); do
            sqlite3 -cmd '.timeout 60000' w.db "insert into t values($who, $n);"
        done) &
    done
    wait
    same rows "$(sqlite3 w.db 'select count(*), count(distinct who) from t;')" '100|4'
    same check "$(sqlite3 w.db 'pragma integrity_check;')" ok
}

quick_sqlite_killed() {
    sqlite3 k.db 'create table t(x);'
    (echo 'begin; insert into t values(1); commit; begin;'
        seq 100000 | sed 's/.*/insert into t values(&);/'; sleep 1000) | sqlite3 -cmd 'pragma cache_size=10' k.db &
    until_true [ -s k.db-journal ]
    kill -9 $!
    wait $! 2>/dev/null || true
    same rows "$(sqlite3 -cmd '.timeout 10000' k.db 'select count(*) from t; pragma integrity_check;' | tr '\n' ' ')" '1 ok '
}

redis() {
    redis-server --port 0 --unixsocket "$ASIDE/redis.sock" --appendonly yes --appendfsync always \
        --dir "$PWD" --save '' --daemonize no >>"$ASIDE/redis.log" 2>&1 &
    server=$!
    until_true sh -c 'redis-cli -s "$ASIDE/redis.sock" ping 2>/dev/null | grep -q PONG'
}

quick_redis_appendonly() {
    cli() { redis-cli -s "$ASIDE/redis.sock" "$@"; }
    trap 'kill -9 $server 2>/dev/null || true' EXIT
    redis
    seq 500 | sed 's/.*/set key& value&/' | cli >/dev/null
    cli incrby counter 7 >/dev/null
    kill -9 $server
    wait $server 2>/dev/null || true
    redis
    same counter "$(cli get counter)" 7
    same keys "$(cli dbsize)" 501
    cli bgrewriteaof >/dev/null
    cli set after rewrite >/dev/null
    until_true sh -c 'redis-cli -s "$ASIDE/redis.sock" info persistence | tr -d "\r" | grep -qx aof_rewrite_in_progress:0 &&
        redis-cli -s "$ASIDE/redis.sock" info persistence | tr -d "\r" | grep -qx aof_rewrite_scheduled:0'
    cli shutdown >/dev/null 2>&1 || true
    wait $server || true
    redis
    same 'what came after' "$(cli get after)" rewrite
    cli save | has OK
    [[ -s dump.rdb ]]
}

# The server refuses to be root.
as_user() {
    if ((EUID == 0)); then setpriv --reuid=nobody --regid=nogroup --clear-groups -- "$@"; else "$@"; fi
}

full_postgresql() {
    bin=$(find /usr/lib/postgresql -name initdb -printf '%h\n' | sort -V | tail -n1)
    mkdir data "$ASIDE/pg"
    chmod 777 "$ASIDE/pg"
    ((EUID != 0)) || chown nobody data .
    chmod 700 data
    as_user "$bin/initdb" -D data -U postgres --data-checksums >/dev/null
    options="-c listen_addresses= -c unix_socket_directories=$ASIDE/pg"
    trap 'as_user "$bin/pg_ctl" -D data -m immediate stop >/dev/null 2>&1 || true' EXIT
    as_user "$bin/pg_ctl" -D data -w -l data/log -o "$options" start >/dev/null
    client=(-h "$ASIDE/pg" -U postgres)
    "$bin/pgbench" "${client[@]}" -i -s 2 -q postgres 2>/dev/null
    "$bin/pgbench" "${client[@]}" -c 4 -j 2 -T 60 postgres >out 2>&1 || die "$(<out)"
    count=$(sed -nE 's/.*actually processed: ([0-9]+)$/\1/p' out)
    ((count > 0))
    # Killed, it recovers from its log.
    as_user "$bin/pg_ctl" -D data -m immediate stop >/dev/null
    as_user "$bin/pg_ctl" -D data -w -l data/log -o "$options" start >/dev/null
    same history "$("$bin/psql" "${client[@]}" -At -c 'select count(*) from pgbench_history' postgres)" "$count"
    same sums "$("$bin/psql" "${client[@]}" -At -c 'select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)' postgres)" t
    as_user "$bin/pg_ctl" -D data -w stop >/dev/null
    as_user "$bin/pg_checksums" -D data --check | has 'Bad checksums:  *0'
}

"$1"
