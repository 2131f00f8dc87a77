#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Prints the path of a cached folder with the sources of the third-party crates
# that kmod/Kbuild lists, at the versions in Cargo.lock: what cargo fetched from
# crates.io and checked against it. Needs no network when cargo has them already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cache=${TWZ_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/twz}
mapfile -t names < <(sed -nE 's|^\$\(call crate,[a-z0-9_]+,vendor/([^,]+),.*|\1|p' kmod/Kbuild)

# locked NAME: "NAME VERSION CHECKSUM", from Cargo.lock. Of two versions neither
# can be meant without saying so.
locked() {
    awk -v name="$1" '
        /^\[\[package\]\]/ { at = "" }
        $1 == "name" { at = $3 }
        $1 == "version" && at == "\"" name "\"" { version = $3; count++ }
        $1 == "checksum" && at == "\"" name "\"" { sum = $3 }
        END { gsub("\"", "", version); gsub("\"", "", sum)
              if (count != 1) exit 1
              print name, version, sum }' Cargo.lock || {
        echo "crates.sh: Cargo.lock has no $1, or more than one" >&2
        return 1
    }
}

list=$(for name in "${names[@]}"; do locked "$name"; done)
tree=$cache/crates-$(sha256sum <<<"$list" | cut -c1-12)
if [[ -d $tree ]]; then
    echo "$tree" && exit
fi

# Cargo knows where it put them; with --locked it puts there what the lock says.
echo "crates.sh: collecting ${#names[@]} crates in $tree, once" >&2
metadata=$("${CARGO:-cargo}" metadata --format-version 1 --locked \
    --filter-platform "$(uname -m)-unknown-linux-gnu")
manifests=$(grep -oE '"manifest_path":"[^"]+"' <<<"$metadata" | cut -d'"' -f4)
mkdir -p "$cache"
half=$(mktemp -d "$tree.XXXXXX")
trap 'rm -rf "$half"' EXIT
chmod 755 "$half"
while read -r name version _; do
    manifest=$(grep -E "/$name(-$version)?/Cargo.toml$" <<<"$manifests" | head -n1) || {
        echo "crates.sh: cargo has no $name $version" >&2
        exit 1
    }
    from=$(dirname "$manifest")
    mkdir "$half/$name"
    cp -r "$from/src" "$from/Cargo.toml" "$half/$name/"
    cp "$from"/LICENSE* "$half/$name/"
    # Some take it for their documentation, and do not compile without.
    [[ ! -f $from/README.md ]] || cp "$from/README.md" "$half/$name/"
done <<<"$list"
# Somebody else may have finished first; theirs is as good.
mv -T "$half" "$tree" 2>/dev/null || [[ -d $tree ]]
echo "$tree"
