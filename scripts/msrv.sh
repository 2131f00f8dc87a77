#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Builds twz-abi and twz-core as the kernel will: with Debian trixie's rustc
# 1.85, against a sysroot that holds core and nothing else, so that any use of
# std or alloc, here or in a dependency, does not compile. `--self-test` shows
# that it does refuse. Exits 77 (skipped) when trixie's rustc cannot be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tree=$(scripts/trixie.sh --packages rustc) || {
    echo "SKIPPED: no Debian trixie tree with rustc 1.85 (the reason is above)"
    exit 77
}
dir=${CARGO_TARGET_DIR:-target}/msrv
mkdir -p "$dir" && dir=$(realpath "$dir")
triple=$(basename "$tree"/usr/lib/rustlib/*-linux-gnu)

core_only=$dir/sysroot
std=$tree/usr/lib/rustlib/$triple/lib
rm -rf "$core_only" && mkdir -p "$core_only/lib/rustlib/$triple/lib"
ln -s "$std"/lib{core,compiler_builtins,rustc_std_workspace_core}-*.rlib \
    "$core_only/lib/rustlib/$triple/lib/"

# Cargo names a --target only for what ends up in the product. Build scripts
# and proc macros run here and now, and those have all of std.
rustc=$dir/rustc-1.85
cat >"$rustc" <<WRAPPER
#!/bin/sh
sysroot='$tree/usr'
for arg; do case \$arg in --target|--target=*) sysroot='$core_only' ;; esac; done
exec '$(echo "$tree"/usr/lib*/ld-linux-*.so.*)' --library-path '$tree/usr/lib/${triple/-unknown/}' \\
    '$tree/usr/bin/rustc' --sysroot "\$sysroot" "\$@"
WRAPPER
chmod +x "$rustc"

# compiles SOURCE: does the wrapper take it as a crate for the kernel?
compiles() {
    "$rustc" --target "$triple" --crate-type lib --edition 2021 --emit metadata \
        -o "$dir/self-test.rmeta" - <<<"$1" 2>"$dir/self-test.log"
}

# refuses WHAT SOURCE MESSAGE: and for that reason, not for another?
refuses() {
    if compiles "$2" || ! grep -q "$3" "$dir/self-test.log"; then
        echo "FAILED: a crate that uses $1 was not refused as it should be:"
        cat "$dir/self-test.log"
        exit 1
    fi
    echo "refused, as it should be: $1"
}

if [[ ${1:-} == --self-test ]]; then
    compiles '#![no_std] pub fn one() -> u32 { 1 }' || {
        echo "FAILED: a plain no_std crate does not compile:" && cat "$dir/self-test.log"
        exit 1
    }
    refuses "std" "#![no_std] extern crate std;" "can't find crate for .std"
    refuses "alloc" "#![no_std] extern crate alloc;" "can't find crate for .alloc"
    refuses "a newer Rust" '#![no_std] pub fn f(n: u32) -> bool { n.is_multiple_of(2) }' \
        "unsigned_is_multiple_of"
    exit
fi

"$rustc" --version
RUSTC=$rustc RUSTC_WRAPPER='' RUSTFLAGS='' CARGO_TARGET_DIR=$dir "${CARGO:-cargo}" build --lib \
    -p twz-abi -p twz-core --target "$triple"
echo "twz-abi and twz-core build with rustc 1.85 on core alone"
