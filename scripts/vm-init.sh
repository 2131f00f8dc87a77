#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# The first program in the virtual machine (vm.sh), run by busybox: mounts what a
# Linux has mounted, makes /dev/pmem0 fit for DAX and a pool on it, loads twz.ko,
# and runs a shell on the console or the command that vm.sh was given.
# shellcheck disable=SC3040 # busybox has it
set -euo pipefail
# How it was asked for: TWZ_COMMAND (empty: a shell), TWZ_LOAD, TWZ_MODULE_ARGS, TWZ_FSDAX.
# shellcheck source=/dev/null
. /etc/vm.conf
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp USER=root

say() { echo "vm: $*" >/dev/kmsg; }

# finish STATUS: tells the host, and turns the machine off.
finish() {
    [ ! -e /dev/vport0p2 ] || echo "$1" >/dev/vport0p2
    say "exit status $1"
    sync
    poweroff -f
    sleep 60
}

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mount -t debugfs debug /sys/kernel/debug
mount -t tracefs trace /sys/kernel/tracing 2>/dev/null || true
trap 'finish 125' EXIT
# Also what an unprivileged test may read.
echo 0 >/proc/sys/kernel/kptr_restrict
echo 30 >/proc/sys/kernel/hung_task_timeout_secs 2>/dev/null || true
ip link set lo up 2>/dev/null || true

# appears FILE: waits for it, for two seconds; devices are found in the background.
appears() {
    tries=20
    until [ -e "$1" ] || [ "$tries" = 0 ]; do
        tries=$((tries - 1))
        sleep 0.1
    done
    [ -e "$1" ] || say "$1 did not appear"
}

while read -r name; do
    # The NVDIMM is pmem0, and memory set apart with memmap= comes after it.
    [ "$name" != nd_e820 ] || appears /dev/pmem0
    insmod "/lib/modules/$name.ko" || say "$name did not load"
done </lib/modules/order
appears /dev/pmem0
case $(cat /proc/cmdline) in *memmap=*) appears /dev/pmem1 ;; esac

# An NVDIMM comes up raw, without DAX. Made fit once, it stays so.
if [ "$TWZ_FSDAX" = yes ] && [ "$(cat /sys/block/pmem0/queue/dax)" = 0 ]; then
    sh /bin/pmem.sh fsdax pmem0 >/dev/kmsg
fi

# The module serves a pool that is there already.
begins=$(head -c 8 /dev/pmem0 2>/dev/null | tr -d '\0' || true)
if [ -z "$begins" ] && [ "$TWZ_FSDAX" = yes ] && command -v twz >/dev/null; then
    twz --quiet --pool /dev/pmem0 pool init --image >/dev/kmsg 2>&1 || say "no pool on /dev/pmem0"
fi
if [ "$TWZ_LOAD" = yes ]; then
    # shellcheck disable=SC2086 # a list of NAME=VALUE words
    insmod /lib/modules/twz.ko $TWZ_MODULE_ARGS || say "twz.ko did not load"
fi

cd /tmp
if [ -z "$TWZ_COMMAND" ]; then
    echo "Persistent memory: $(ls /dev/pmem* 2>/dev/null || echo none). Leave with 'exit'."
    setsid cttyhack sh -l || true
    finish 0
fi
status=0
# What it prints goes to the host by a port of its own, apart from the kernel's log.
sh -c "$TWZ_COMMAND" >/dev/vport0p1 2>&1 </dev/null || status=$?
if [ -e /sys/kernel/debug/kmemleak ]; then
    # What is younger than five seconds does not count as lost yet.
    sleep 6
    echo scan >/sys/kernel/debug/kmemleak
    echo scan >/sys/kernel/debug/kmemleak
    while read -r line; do echo "$line" >/dev/kmsg; done </sys/kernel/debug/kmemleak
fi
finish "$status"
