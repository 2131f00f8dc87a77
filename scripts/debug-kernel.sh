#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Prints the folder of a kernel that checks itself (KASAN, lockdep and what else
# debug.config turns on), built of the same source as the stock one:
#   debug-kernel.sh [TREE]              TREE as from kernel.sh
# It is a folder of TREE, to build modules against and with a vmlinuz to boot. Made
# once, in seven minutes on two idle processors; what was interrupted is continued.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "debug-kernel.sh: $*" >&2; }

tree=${1:-$(scripts/kernel.sh)} || exit
name=debug-$(grep -E '^CONFIG_' scripts/debug.config | sha256sum | cut -c1-8)
if [[ -d $tree/$name ]]; then
    echo "$tree/$name" && exit
fi
exec 9>"$tree/debug.lock"
flock -n 9 || { say "waiting for another one to be done" && flock 9; }
if [[ -d $tree/$name ]]; then
    echo "$tree/$name" && exit
fi

part=$name.part
mkdir -p "$tree/$part"
cp scripts/debug.config "$tree/$part/wanted"
# With clang: that is the compiler whose KASAN Rust goes with. -j2, because its
# linker and its memory are what is short.
in_tools=(scripts/inside.sh "$(<"$tree/toolchain")" --bind "$tree" /kernel)
make=(nice make -s LLVM=1 -C /kernel/source "O=/kernel/$part" LOCALVERSION=
    "KERNELRELEASE=$(<"$tree/release")-twz-debug")

say "configuring a kernel with all checks"
"${in_tools[@]}" env KCONFIG_ALLCONFIG="/kernel/$part/wanted" "${make[@]}" allnoconfig >&2
missing=$(grep -E '^CONFIG_' "$tree/$part/wanted" | grep -vxFf "$tree/$part/.config" || true)
[[ -z $missing ]] || { say "FAILED: this source does not take: $missing" && exit 1; }

say "building it (7 minutes on two idle processors, once)"
begun=$SECONDS
"${in_tools[@]}" "${make[@]}" -j2 bzImage modules >"$tree/$part/build.log" 2>&1 || {
    tail -n 30 "$tree/$part/build.log" >&2
    say "FAILED: the debugging kernel does not build"
    exit 1
}
say "built in $(((SECONDS - begun) / 60)) min"

cd "$tree/$part"
cp arch/x86/boot/bzImage vmlinuz
# No module is needed to boot it.
mkdir -p modules
: >modules/order
# What modules are built with stays: headers, tools, symbols and Rust's metadata.
rm -f vmlinux.o vmlinux.a .tmp_vmlinux*
find . -path ./scripts -prune -o -path ./tools -prune -o \
    -type f \( -name '*.a' -o -name '*.o' -o -name '*.o.cmd' \) ! -name module-common.o -print0 | xargs -0 rm -f
# It knows where it is.
sed -i "s|/$part|/$name|" Makefile
cd "$tree"
mv -T "$part" "$name"
echo "$tree/$name"
