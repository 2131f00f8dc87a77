#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Prints the path of a cached folder for each NAME, with what the suite of that name
# needs and Debian does not package, and makes it first if need be:
#   posix-tools.sh NAME...
# How one is made says tests/posix/recipes/NAME.sh, which is run in a scratch folder,
# and puts into $out what is kept. It may use source_of, crate, say and skip (below).
# A change to a recipe, or of Debian, makes another folder; those of others stay.
# Exits 77 when one cannot be had here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

recipes=$PWD/tests/posix/recipes
cache=${TWZ_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/twz}/posix

say() { echo "posix-tools.sh: $*" >&2; }
skip() { say "SKIPPED: $*" && exit 77; }

# crate NAME@VERSION: builds it, and keeps its programs.
crate() {
    "${CARGO:-cargo}" install --quiet --locked --target-dir "$PWD/target" --root "$PWD/installed" "$1" ||
        skip "$1 could not be had from crates.io (the reason is above)"
    mv installed/bin/* "$out"
}

# source_of PACKAGE: unpacks Debian's source of it, as it is patched there, in ./PACKAGE.
source_of() {
    [[ -d $apt/lists ]] || sources_index
    (mkdir fetched && cd fetched && apt-get "${options[@]}" --only-source source "$1") ||
        skip "the source of $1 could not be fetched (the reason is above)"
    mv "$(find fetched -mindepth 1 -maxdepth 1 -type d)" "$1"
    rm -r fetched
}

# Debian's archives as they are configured here, asked for source: nothing of that stays.
sources_index() {
    say 'fetching the index of sources'
    mkdir -p "$apt/lists/partial" "$apt/archives/partial"
    sed -s 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/*.sources >"$apt/debian.sources" 2>/dev/null || true
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        sed -nE 's/^deb /deb-src /p' >"$apt/debian.list" || true
    if [[ ! -s $apt/debian.sources ]]; then
        rm "$apt/debian.sources"
    else
        rm "$apt/debian.list"
    fi
    apt-get "${options[@]}" update || skip "no index of Debian's sources (the reason is above)"
}

# made NAME: in half, under its lock, so that a folder is all there or not at all.
made() (
    recipe=$recipes/$1.sh
    [[ -f $recipe ]] || { say "there is no recipe '$1'" && exit 2; }
    tree=$cache/$1-$(cat "$recipe" /etc/debian_version | sha256sum | cut -c1-12)
    exec 9>"$cache/$1.lock"
    flock -n 9 || { say "waiting for another one to make $1" && flock 9; }
    [[ ! -d $tree ]] || { echo "$tree" && exit; }
    say "making $1"
    half=$(mktemp -d "$tree.XXXXXX")
    trap 'rm -rf "$half"' EXIT
    out=$half/out
    mkdir "$out" "$half/work"
    (cd "$half/work" && set -euo pipefail && source "$recipe") >&2
    # Programs run as other users, too.
    chmod -R a+rX "$out"
    mv "$out" "$tree"
    echo "$tree"
)

mkdir -p "$cache"
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT
options=(-qq -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$apt"
    -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt" -o APT::Sandbox::User=root)
for name in "$@"; do
    made "$name"
done
