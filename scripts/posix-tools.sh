#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Prints the path of a cached folder with the programs of the suites that Debian does
# not package, making it first if need be: pjdfstest and fsx, from crates.io at one
# version each, and LMDB's own tests, from Debian's source of it.
# Exits 77 when it cannot be had here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

crates=(pjdfstest@0.2.2 fsx@0.3.2)
cache=${TWZ_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/twz}
# A change to how it is made, or of what, makes another one.
tree=$cache/posix-$(printf '%s\n' 1 "${crates[@]}" | cat - /etc/debian_version | sha256sum | cut -c1-12)

say() { echo "posix-tools.sh: $*" >&2; }
skip() { say "SKIPPED: $*" && exit 77; }

if [[ -d $tree ]]; then
    echo "$tree" && exit
fi
mkdir -p "$cache"
exec 9>"$cache/posix.lock"
flock -n 9 || { say "waiting for another one to be done" && flock 9; }
if [[ -d $tree ]]; then
    echo "$tree" && exit
fi
half=$(mktemp -d "$tree.XXXXXX")
trap 'rm -rf "$half"' EXIT
work=$half/work
mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial"

for crate in "${crates[@]}"; do
    say "building $crate"
    "${CARGO:-cargo}" install --quiet --locked --target-dir "$work/target" --root "$work/installed" "$crate" >&2 ||
        skip "$crate could not be had from crates.io (the reason is above)"
done
mv "$work"/installed/bin/* "$half"

say "fetching LMDB's source"
# Debian's archives as they are configured here, asked for source: nothing of that stays.
sed -s 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/*.sources >"$work/debian.sources" 2>/dev/null || true
cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
    sed -nE 's/^deb /deb-src /p' >"$work/debian.list" || true
source=$work/debian.sources
[[ -s $source ]] || source=$work/debian.list
apt=(-qq -o "Dir::Etc::SourceList=$source" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$work/apt/lists" -o "Dir::Cache=$work/apt" -o APT::Sandbox::User=root)
apt-get "${apt[@]}" update >&2 || skip "no index of Debian's sources (the reason is above)"
(cd "$work" && apt-get "${apt[@]}" --only-source source lmdb >&2) ||
    skip "LMDB's source could not be fetched (the reason is above)"

mdb=$(dirname "$(find "$work" -name mtest.c -print -quit)")
for test in mtest mtest2 mtest3 mtest4 mtest5; do
    gcc -O2 -w -pthread -o "$half/$test" "$mdb/$test.c" "$mdb/mdb.c" "$mdb/midl.c"
done

rm -rf "$work"
# Programs run as other users, too.
chmod -R a+rX "$half"
mv "$half" "$tree"
trap - EXIT
echo "$tree"
