#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Servers of files, asked over the loopback.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/shared.sh"

quick_nginx() {
    tree www
    chmod -R a+rX www
    lines 40000 >www/big
    # A socket instead of a port: nobody else can have it.
    cat >"$ASIDE/nginx.conf" <<END
daemon off;
master_process off;
pid $ASIDE/nginx.pid;
error_log $ASIDE/nginx.log;
events { }
http {
    access_log $PWD/access.log;
    client_body_temp_path $PWD/body;
    proxy_temp_path $PWD/proxy;
    fastcgi_temp_path $PWD/fastcgi;
    uwsgi_temp_path $PWD/uwsgi;
    scgi_temp_path $PWD/scgi;
    sendfile on;
    server { listen unix:$ASIDE/nginx.sock; root $PWD/www; autoindex on; }
}
END
    nginx -e "$ASIDE/nginx.log" -c "$ASIDE/nginx.conf" &
    server=$!
    trap 'kill $server 2>/dev/null || true' EXIT
    get() { curl -sS --fail --unix-socket "$ASIDE/nginx.sock" "$@"; }
    until_true sh -c 'curl -s --unix-socket "$ASIDE/nginx.sock" http://x/ >/dev/null'
    get http://x/big | cmp - www/big
    get http://x/a/b/notes.txt | cmp - www/a/b/notes.txt
    get -r 100-199 http://x/big | cmp - <(tail -c +101 www/big | head -c 100)
    get http://x/a/ | has 70000
    etag=$(get -I http://x/big | tr -d '\r' | sed -n 's/^ETag: //p')
    same 'unchanged' "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$ASIDE/nginx.sock" -H "If-None-Match: $etag" http://x/big)" 304
    echo new >www/big.new
    mv www/big.new www/big
    same 'after a rename' "$(get http://x/big)" new
    same 'no such file' "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$ASIDE/nginx.sock" http://x/nowhere)" 404
    kill -TERM $server
    wait $server || true
    grep -q 'GET /a/b/notes.txt' access.log
}

quick_python_http() {
    tree www
    /usr/bin/python3 -u -m http.server --bind 127.0.0.1 -d www 0 >"$ASIDE/http.log" 2>&1 &
    server=$!
    trap 'kill $server 2>/dev/null || true' EXIT
    until_true grep -q 'port [0-9]' "$ASIDE/http.log"
    port=$(sed -nE 's/.*port ([0-9]+).*/\1/p' "$ASIDE/http.log" | head -n1)
    curl -sS --noproxy '*' "http://127.0.0.1:$port/a/70000" | cmp - www/a/70000
    curl -sS --noproxy '*' -o down "http://127.0.0.1:$port/a/b/notes.txt"
    cmp down www/a/b/notes.txt
}

"$1"
