#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# SQLite's own measure of speed, on Debian's libsqlite3: what the bench `posix` runs.
set -euo pipefail
source_of sqlite3
gcc -O2 -w -o "$out/speedtest1" sqlite3/test/speedtest1.c -lsqlite3
