#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Redis' own tests, from Debian's source. They look for what they test in src/: there are
# the programs that Debian has installed.
set -euo pipefail

source_of redis
mv redis/tests "$out/tests"
mkdir "$out/src"
for program in server cli benchmark check-aof check-rdb; do
    ln -s "/usr/bin/redis-$program" "$out/src/"
done
