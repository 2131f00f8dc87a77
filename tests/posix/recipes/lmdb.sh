# SPDX-License-Identifier: MIT OR Apache-2.0
# LMDB's own tests, which Debian does not package.
set -euo pipefail

source_of lmdb
mdb=$(dirname "$(find lmdb -name mtest.c -print -quit)")
for test in mtest mtest2 mtest3 mtest4 mtest5; do
    gcc -O2 -w -pthread -o "$out/$test" "$mdb/$test.c" "$mdb/mdb.c" "$mdb/midl.c"
done
