#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Persistent memory on this machine, without ndctl:
#   pmem.sh                       what there is, and what to do next
#   pmem.sh memmap SIZE           how to set SIZE MiB of ordinary memory apart as /dev/pmemN
#   pmem.sh fsdax DISK [--force]  makes a raw /dev/DISK (as pmem0) fit for DAX
# It changes nothing but with fsdax; that needs root, and what was on the disk is gone.
# Nothing of bash in it but pipefail: busybox runs it too, in the virtual machine.
set -euo pipefail

bus=/sys/bus/nd
die() { echo "pmem.sh: $*" >&2 && exit 1; }

# dax DISK: whether it can be mapped directly.
dax() { [ "$(cat "/sys/block/$1/queue/dax" 2>/dev/null)" = 1 ]; }

show() {
    found=no
    for disk in /sys/block/pmem*; do
        [ -e "$disk" ] || continue
        found=yes name=$(basename "$disk")
        mib=$(($(cat "$disk/size") / 2048))
        if dax "$name"; then
            echo "/dev/$name: $mib MiB, fit for DAX"
        else
            echo "/dev/$name: $mib MiB, raw: make it fit with 'pmem.sh fsdax $name'"
        fi
    done
    [ "$found" = no ] || return 0
    echo "no persistent memory here; to emulate some: 'pmem.sh memmap 4096'"
    case $(cat /proc/cmdline) in *memmap=*!*) echo "(memmap= is on the command line: is nd_e820 loaded?)" ;; esac
}

# The end of the highest range of memory, which is the farthest from what firmware
# and boot loader use; whole sections of 128 MiB, because that is what memory comes in.
memmap() {
    mib=$1
    section=$((128 << 20))
    highest=$(grep ' : System RAM$' /proc/iomem | tail -n 1)
    begin=$((0x${highest%%-*}))
    end=${highest#*-}
    end=$((0x${end%% *} + 1))
    [ "$end" -gt 1 ] || die "only root may see where memory is"
    sections=$(((mib + 127) / 128))
    at=$(((end / section - sections) * section))
    [ "$at" -ge "$begin" ] || die "the highest range of memory has just $(((end - begin) >> 20)) MiB"
    echo "Add this to the kernel's command line:"
    echo
    echo "    memmap=${mib}M!$((at >> 20))M"
    echo
    echo "With GRUB: to GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub and reboot."
    echo "The memory is /dev/pmem0 then, and no longer the system's. It is emulated: it"
    echo "outlives programs and the module, and most warm reboots, but not a power cut."
}

fsdax() {
    name=$1
    [ -e "/sys/block/$name" ] || die "there is no $name"
    ! dax "$name" || die "/dev/$name is fit for DAX already"
    space=$(basename "$(readlink -f "/sys/block/$name/device")")
    case $space in namespace*) ;; *) die "$space is no raw namespace: undo with ndctl what it is" ;; esac
    if [ "${2:-}" != --force ] && [ -n "$(head -c 65536 "/dev/$name" | tr -d '\0' | head -c 1)" ]; then
        die "/dev/$name is not empty: --force if that may go"
    fi
    # Each region offers an unused pfn device of its own.
    region=${space#namespace} pfn=''
    for seed in "$bus/devices/pfn${region%%.*}".*; do
        [ -n "$(cat "$seed/namespace")" ] || pfn=$(basename "$seed")
    done
    [ -n "$pfn" ] || die "this kernel offers no pfn device (CONFIG_NVDIMM_PFN)"
    echo "$space" >"$bus/drivers/nd_pmem/unbind"
    echo pmem >"$bus/devices/$pfn/mode"
    cat /proc/sys/kernel/random/uuid >"$bus/devices/$pfn/uuid"
    # 2 MiB, so that huge pages can map it.
    echo 2097152 >"$bus/devices/$pfn/align"
    echo "$space" >"$bus/devices/$pfn/namespace"
    echo "$pfn" >"$bus/drivers/nd_pmem/bind"
    # It says so on the medium, and stays so.
    echo "$space is fit for DAX now"
}

case ${1:-} in
    '') show ;;
    memmap) memmap "${2:?how many MiB}" ;;
    fsdax) fsdax "${2:?which disk}" "${3:-}" ;;
    *) die "unknown word '$1' (memmap, fsdax)" ;;
esac
