#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Builds the kernel module and prints the path of twz.ko:
#   KDIR=/lib/modules/$(uname -r)/build kmod.sh     for that kernel, with the tools here
#   kmod.sh [TREE]                                  for a kernel that kernel.sh made
# TWZ_WEAKEN=1 makes the one for tests, of which a guard can be taken out.
# Nothing is built in the source tree: the sources are copied to target/kmod/NAME,
# and what has not changed is not built again. Exits 77 when there is no kernel to
# build against.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "kmod.sh: $*" >&2; }

scripts/deps.sh kmod || { say "SKIPPED: no tools to build it with (the reason is above)" && exit 77; }

# BUILD says which of the kernels in a tree: build/ is the stock one.
tree='' build=${BUILD:-build}
if [[ -z ${KDIR:-} ]]; then
    tree=${1:-$(scripts/kernel.sh)} || exit
    release=$(<"$tree/$build/include/config/kernel.release")
    # The compiler that this kernel was configured with.
    compiler=CC=gcc-14
    ! grep -qx CONFIG_CC_IS_CLANG=y "$tree/$build/.config" || compiler=LLVM=1
else
    release=$(make -s -C "$KDIR" kernelrelease)
fi
crates=$(scripts/crates.sh)

out=${CARGO_TARGET_DIR:-target}/kmod/$release
[[ -z ${TWZ_WEAKEN:-} ]] || out+=-weak
mkdir -p "$out" && out=$(realpath "$out")

# One build at a time in there; the others wait.
exec 9>"$out/.lock"
flock 9

# By contents: a file that is the same keeps its time, and is not compiled again.
copy=(rsync -r --links --checksum --delete --force)
sources=(--exclude=bindings_generated.rs --exclude=/vendor --exclude=tests --include='*/' --include='*.rs' --include='*.h'
    --include='*.mk' --include='*.list' --include=Kbuild --include=Makefile --exclude='*')
"${copy[@]}" "${sources[@]}" kmod/ "$out/" >&2
"${copy[@]}" --include='*/' --include='*.rs' --include=README.md --exclude='*' "$crates/" "$out/vendor/" >&2

log=$out/build.log
status=0
if [[ -n $tree ]]; then
    scripts/inside.sh "$(<"$tree/toolchain")" --bind "$tree" /kernel --bind "$out" /twz \
        make -j"$(nproc)" -C "/kernel/$build" M=/twz KERNELRELEASE="$release" \
        "$compiler" TWZ_WEAKEN="${TWZ_WEAKEN:-}" modules \
        >"$log" 2>&1 || status=$?
else
    make -j"$(nproc)" -C "$KDIR" M="$out" modules >"$log" 2>&1 || status=$?
fi
# What the compiler says of our own sources, without the paths of the copy.
grep -vE '^make|^  [A-Z]+( \[M\])? |Skipping BTF' "$log" | sed 's|--> \(/twz/\)\?|--> kmod/|' >&2 || true
((status == 0)) || { say "FAILED: twz.ko for Linux $release (all of it in $log)" && exit "$status"; }

# A kernel stack has 16 KiB, of which a fault in a system call leaves 14, and calls
# are nested: a frame of more than 6 KiB was not meant. (KASAN's are larger by design.)
deep=$(objdump -d --no-show-raw-insn "$out/twz.ko" | awk '
    /^[0-9a-f]+ <.*>:$/ { name = substr($2, 2, length($2) - 3) }
    /sub +\$0x[0-9a-f]+,%rsp/ {
        match($0, /0x[0-9a-f]+/)
        frame = substr($0, RSTART + 2, RLENGTH - 2)
        if (length(frame) > 4 || length(frame) == 4 && frame >= "1800") print "  0x" frame, name
    }' | c++filt | sort -u)
if [[ -n $deep && $release != *-twz-debug ]]; then
    say "FAILED: frames too large for a kernel stack (build it in its box, not before):"
    echo "$deep" >&2
    rm -f "$out/twz.ko"
    exit 1
fi

size=$(stat -c %s "$out/twz.ko")
say "twz.ko for Linux $release, $((size / 1024)) KiB with debug information"
echo "$out/twz.ko"
