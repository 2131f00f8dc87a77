#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Builds twz.ko where DKMS put the sources:
#   build.sh RELEASE KDIR
# A kernel tree with Rust metadata is used as it is. Debian's headers have none, so
# that is made once for each kernel, from linux-source-X.Y of the same version: the
# same source, configuration and compilers give the same symbols.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

release=$1 kdir=$2
die() { echo "twz: $*" >&2 && exit 1; }

if [[ -e $kdir/rust/libkernel.rmeta ]]; then
    exec make -j"$(nproc)" -C "$kdir" M="$PWD" modules
fi

series=$(cut -d. -f1,2 <<<"$release")
package=linux-source-$series archive=/usr/src/linux-source-$series.tar.xz
upstream=$(grep -oE '^[0-9.]+' <<<"$release")
compiler=$(sed -nE 's/^CONFIG_CC_VERSION_TEXT="[^" ]*(gcc-[0-9]+) .*/\1/p' "$kdir/.config")
arguments=(CC="${compiler:-gcc}" LOCALVERSION= KERNELRELEASE="$release")

# wanted CONFIG: what the kernel was built with.
wanted() { sed -nE "s/^$1=\"?([^\"]*)\"?$/\1/p" "$kdir/.config"; }
[[ $(rustc --version) == "$(wanted CONFIG_RUSTC_VERSION_TEXT)" ]] ||
    die "this kernel was built with $(wanted CONFIG_RUSTC_VERSION_TEXT), and here is $(rustc --version)"

tree=/var/cache/twz/linux-$release
if [[ ! -d $tree ]]; then
    [[ -e $archive ]] || die "$package is not installed"
    half=$(mktemp -d /var/cache/twz/linux.XXXXXX)
    trap 'rm -rf "$half"' EXIT
    mkdir "$half/source" "$half/build"
    tar -C "$half/source" --strip-components=1 --no-same-owner -xf "$archive"
    [[ $(make -s -C "$half/source" kernelversion) == "$upstream" ]] ||
        die "$package is not of Linux $upstream: install the version that goes with it"
    cp "$kdir/.config" "$kdir/Module.symvers" "$half/build/"
    make -s -j"$(nproc)" -C "$half/source" O="$half/build" "${arguments[@]}" \
        olddefconfig prepare modules_prepare
    # Configured without, when a tool is missing, it would build nothing that loads.
    [[ -e $half/build/rust/libkernel.rmeta ]] ||
        die "no Rust for the kernel here: are rustc, rust-src, bindgen and clang installed?"
    # A module is built with headers, scripts and metadata; the rest is 1.5 GB.
    (cd "$half/source" && rm -rf Documentation drivers fs net samples security sound crypto tools/testing)
    find "$half/source/arch" -mindepth 1 -maxdepth 1 -type d ! -name x86 -exec rm -rf {} +
    ln -sfn ../source "$half/build/source"
    sed -i "s|$half|$tree|g" "$half/build/Makefile"
    mv -T "$half" "$tree"
    trap - EXIT
fi
exec make -j"$(nproc)" -C "$tree/build" M="$PWD" "${arguments[@]}" modules
