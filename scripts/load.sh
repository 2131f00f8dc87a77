#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Loads the module on this machine, as root, after a look at what it needs:
#   load.sh [DEVICE] [PARAMETER=VALUE]...      (default: /dev/pmem0)
# It takes twz.ko of a `make kmod` for this very kernel, else the installed one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() { echo "load.sh: $*" >&2 && exit 1; }

device=/dev/pmem0
if [[ ${1:-} == /* ]]; then device=$1 && shift; fi

((EUID == 0)) || die "only root may load a module"
[[ ! -e /sys/module/twz ]] || die "it is loaded already (scripts/unload.sh)"
[[ -b $device ]] || die "there is no $device; 'scripts/pmem.sh' says what there is"
[[ $(cat "/sys/block/${device#/dev/}/queue/dax" 2>/dev/null) == 1 ]] ||
    die "$device cannot be mapped directly; 'scripts/pmem.sh fsdax ${device#/dev/}' changes that"
[[ $(head -c 8 "$device" | tr -d '\0') == TWZPOOL1 ]] ||
    die "no pool on $device; make one: twz --pool $device pool init --image"

release=$(uname -r)
module=${CARGO_TARGET_DIR:-target}/kmod/$release/twz.ko
if [[ -f $module ]]; then
    load=(insmod "$module")
elif modinfo twz >/dev/null 2>&1; then
    load=(modprobe twz)
else
    die "no twz.ko for Linux $release: RELEASE=$release make kmod, or KDIR=/lib/modules/$release/build make kmod"
fi
"${load[@]}" "pmem=$device" "$@" || {
    if grep -qs '\[\(integrity\|confidentiality\)\]' /sys/kernel/security/lockdown; then
        die "this kernel is locked down (Secure Boot): sign the module, see kmod/README.md"
    fi
    dmesg | grep twz | tail -n 5 >&2
    die "it did not load; above is the end of what the kernel says"
}

# What a udev rule does on a machine where it is installed.
if [[ ! -e /etc/udev/rules.d/60-twz.rules && ! -e /usr/lib/udev/rules.d/60-twz.rules ]]; then
    if getent group twz >/dev/null; then
        chgrp twz /dev/twz && chmod 0660 /dev/twz
    else
        echo "load.sh: only root may use /dev/twz; groupadd --system twz, and who is in it may too" >&2
    fi
fi
echo "serving $device as /dev/twz"
