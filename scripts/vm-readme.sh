#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Types the README's kernel tour (its ```console block) and what it shows of rights (the
# last ```sh block) into the virtual machine, line by line, and sees that it says what it
# should. Exits 77 without a machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

script=$(mktemp) out=$(mktemp)
trap 'rm -f "$script" "$out"' EXIT
{
    echo 'set -eu'
    awk '/^```console$/ { inside = 1; next } /^```$/ { inside = 0 } inside' README.md
    awk '/^```sh$/ { inside = 1; text = ""; next } /^```$/ { inside = 0 }
        inside { text = text $0 "\n" } END { printf "%s", text }' README.md
} >"$script"
(($(wc -l <"$script") > 10)) || { echo "vm-readme.sh: the README has no kernel tour" >&2 && exit 1; }

"${CARGO:-cargo}" build --quiet --release -p twz-examples
built=$(realpath "${CARGO_TARGET_DIR:-target}")/release
scripts/vm.sh run --timeout 300 --add "$built/tour" --add "$built/sandbox" --add "$script=/bin/readme" -- sh /bin/readme >"$out" || {
    status=$?
    cat "$out"
    exit "$status"
}
# Said when it is read back, and once by the tour's second process.
for words in 'data outlives programs' 'the favourite is Saturn now' 'rights_structures' 'nothing is wrong' \
    'for few eyes' '^allowed  r-----' '^refused$' '^nothing is left$' \
    'adds up again  *60 is answered' 'reads the ledger  *refused, r' 'past its gate  *refused, --x'; do
    grep -q "$words" "$out" || { cat "$out" && echo "vm-readme.sh: FAILED: nothing says '$words'" && exit 1; }
done
# Faults did map what it walked.
grep -qE '^small [1-9]' "$out" || { cat "$out" && echo "vm-readme.sh: FAILED: no fault mapped anything" && exit 1; }
echo "the README's kernel tour works as typed"
