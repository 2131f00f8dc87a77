#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# SQLite's own tests, from Debian's source, and the Tcl interpreter with SQLite in it that
# runs them.
set -euo pipefail

source_of sqlite3
tcl=$(find /usr/lib -maxdepth 2 -path '*/tcl8*/tclConfig.sh' -printf '%h\n' -quit)
mkdir build && cd build
say "building SQLite's testfixture"
../sqlite3/configure --quiet --disable-shared --with-tcl="$tcl"
make -s testfixture >/dev/null
cp testfixture "$out"
# The large databases are a fuzzer's, which is another program.
rm -f ../sqlite3/test/fuzzdata*.db
mv ../sqlite3/test ../sqlite3/ext "$out"
