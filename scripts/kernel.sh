#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Prints the path of a cached kernel to build against and to boot, making it
# first if need be: Debian's own, of a supported series (SERIES=7.2 names one),
# from trixie-backports. --update asks whether there is a newer one than cached;
# RELEASE=$(uname -r) wants that one and no other.
# In it:
#   release       what `uname -r` says there
#   source/       Debian's source, as it was packaged
#   build/        prepared for modules (KDIR), with the stock kernel's configuration
#   vmlinuz, config
#   modules/      the stock modules a test machine loads, modules/order in order
#   toolchain     the path of the tree with Debian's compilers (see inside.sh),
#                 where this folder is to be bound to /kernel
# Exits 77 when it cannot be had here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The series that the module supports, the one that is tested always first: the next
# one is taken when backports drops it, or when SERIES names it.
supported=(7.2 7.3)

# What a virtual machine needs to have: persistent memory, file systems that
# use it, and a way in and out. What each depends on comes along.
wanted=(nfit nd_pmem nd_e820 nd_btt dax device_dax ext4 fuse overlay
    virtio_pci virtio_console virtio_blk 9p 9pnet_virtio)

# The packages that Debian builds its kernel with, and what a test machine is made of.
toolchain=ca-certificates,build-essential,bc,flex,bison,libelf-dev,libssl-dev,libdw-dev,kmod,cpio
toolchain+=,rsync,xz-utils,python3,rustc,rust-src,bindgen,clang,llvm,lld,pahole,gawk,zstd,busybox-static

say() { echo "kernel.sh: $*" >&2; }
skip() { say "SKIPPED: $*" && exit 77; }

[[ $(uname -m) == x86_64 ]] || skip "only amd64 is known to work, this is $(uname -m)"
cache=${TWZ_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/twz}
# A change to how it is made, or of what, makes another one.
key=$(printf '%s\n' 2 "$toolchain" "${wanted[*]}" | sha256sum | cut -c1-8)

# cached SERIES: the newest one of the series that is there, if any, or the one wanted.
cached() {
    find "$cache" -maxdepth 1 -type d -name "linux-${RELEASE:-$1.*}-$key" 2>/dev/null | sort -V | tail -n1
}

list=("${SERIES:-}")
[[ -n ${list[0]} ]] || list=("${supported[@]}")
if [[ -n ${RELEASE:-} ]]; then
    [[ $RELEASE =~ ^([0-9]+\.[0-9]+)\.[0-9]+\+deb13-amd64$ ]] || skip "$RELEASE is no kernel of trixie-backports"
    list=("${BASH_REMATCH[1]}")
fi

# found: prints the newest of the first series of which there is one.
found() {
    local series tree
    for series in "${list[@]}"; do
        tree=$(cached "$series")
        [[ -z $tree ]] || { echo "$tree" && return; }
    done
    return 1
}

[[ ${1:-} == --update ]] || ! found || exit 0
# Who comes while another makes it waits, and finds it made.
mkdir -p "$cache"
exec 9>"$cache/linux.lock"
flock -n 9 || { say "waiting for another one to be done" && flock 9; }
[[ ${1:-} == --update ]] || ! found || exit 0

tools=$(scripts/trixie.sh --chroot --backports --packages "$toolchain") ||
    skip "no Debian trixie tree to build in (the reason is above)"
status=0
scripts/inside.sh "$tools" true || status=$?
((status == 0)) || exit "$status"

half=$(mktemp -d "$cache/linux.XXXXXX")
trap 'rm -rf "$half"' EXIT
chmod 755 "$half"
echo "$tools" >"$half/toolchain"

# in_tools COMMAND...: with the tree that is being made as /kernel.
in_tools() { scripts/inside.sh "$tools" --bind "$half" /kernel "$@"; }

# Without a user of its own for downloads: in a user namespace there is just one.
apt=(-qq -o APT::Sandbox::User=root -o Dir::State=/kernel/apt -o Dir::Cache=/kernel/apt)
mkdir -p "$half/apt/lists/partial" "$half/apt/archives/partial" "$half/debs" "$half/root"
say "asking for the newest kernel of ${list[*]}"
in_tools apt-get "${apt[@]}" update >&2 || skip "no index of trixie-backports (the reason is above)"
packages=$(in_tools apt-cache "${apt[@]:1}" --names-only search '^linux-(headers|binary|source)' | cut -d' ' -f1)

# newest SERIES: the newest release of which Debian has all parts, if any. Its
# image is signed later than the rest is built; unsigned it is the same kernel.
newest() {
    grep -qx "linux-source-$1" <<<"$packages" || return 0
    { sed -nE "s/^linux-binary-(unsigned-)?($1\.[0-9]+\+deb13-amd64)$/\2/p" <<<"$packages" | sort -u
        sed -nE "s/^linux-headers-($1\.[0-9]+\+deb13-amd64)$/\1/p" <<<"$packages"
    } | sort -V | uniq -d | { [[ -z ${RELEASE:-} ]] && cat || grep -xF "$RELEASE"; } | tail -n1 || true
}
release=
for series in "${list[@]}"; do
    release=$(newest "$series")
    [[ -n $release ]] && break
done
[[ -n $release ]] || skip "trixie-backports has no ${RELEASE:-${list[*]}} now: name another in SERIES"

tree=$cache/linux-$release-$key
if [[ -d $tree ]]; then
    echo "$tree" && exit
fi

image=linux-binary-$release
grep -qxF "$image" <<<"$packages" || image=linux-binary-unsigned-$release
# Source of the very same version: a module is built against what it is loaded into.
version=$(in_tools apt-cache "${apt[@]:1}" show "linux-headers-$release" | awk '/^Version:/ { print $2; exit }')
say "fetching Linux $release (340 MB)"
# shellcheck disable=SC2016 # the inner shell's variables
in_tools sh -c 'cd /kernel/debs && exec apt-get "$@"' sh "${apt[@]}" download \
    "linux-source-$series=$version" "linux-headers-$release" "$image" "linux-base-$release" \
    "linux-modules-$release" >&2 ||
    skip "the kernel's packages could not be fetched (the reason is above)"

say "unpacking it"
# shellcheck disable=SC2016 # the inner shell's variables
in_tools bash -euo pipefail -c '
    cd /kernel
    for deb in debs/*.deb; do dpkg -x "$deb" root; done
    mkdir source build modules
    tar -C source --strip-components=1 --no-same-owner -xf root/usr/src/linux-source-*.tar.xz
    headers=root/usr/src/linux-headers-$1
    cp "$headers/.config" "$headers/Module.symvers" build/
    cp "$headers/.config" config
    # The unsigned image has it elsewhere.
    cp "$(find root -type f -name "vmlinuz*" | head -n1)" vmlinuz
    echo "$1" >release
' bash "$release" >&2

# What modprobe would load, in the order it would.
say "picking modules"
# shellcheck disable=SC2016 # the inner shell's variables
in_tools bash -euo pipefail -c '
    cd /kernel
    release=$1
    shift
    depmod -b root/usr "$release"
    for name; do modprobe -d /kernel/root/usr -S "$release" --show-depends "$name"; done |
        awk "\$1 == \"insmod\" && !seen[\$2]++ { print \$2 }" |
        while read -r path; do
            name=$(basename "$path")
            case $path in
                *.xz) xz -dc "$path" >"modules/${name%.xz}" ;;
                *.zst) zstd -qdc "$path" >"modules/${name%.zst}" ;;
                *) cp "$path" "modules/$name" ;;
            esac
            name=${name%.xz} name=${name%.zst}
            echo "${name%.ko}" >>modules/order
        done
' bash "$release" "${wanted[@]}" >&2

# Debian's headers carry no Rust metadata, so that is made again: same source,
# configuration and compilers give the same crates, and so the same symbols.
say "preparing it for modules (1 to 2 minutes)"
in_tools nice make -s -j"$(nproc)" -C /kernel/source O=/kernel/build \
    CC=gcc-14 LOCALVERSION= KERNELRELEASE="$release" \
    olddefconfig prepare modules_prepare >"$half/prepare.log" 2>&1 || {
    tail -n 30 "$half/prepare.log" >&2
    say "FAILED: could not prepare Linux $release"
    exit 1
}

[[ -e $half/build/rust/libkernel.rmeta ]] || { say "FAILED: this kernel is prepared without Rust" && exit 1; }

rm -rf "$half/root" "$half/debs" "$half/apt"
# Somebody else may have finished first; theirs is as good.
mv -T "$half" "$tree" 2>/dev/null || [[ -d $tree ]]
say "Linux $release is in $tree"
echo "$tree"
