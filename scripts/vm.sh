#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Boots an unmodified Debian kernel, with the module, in a virtual machine that
# has persistent memory and no network:
#   vm.sh [OPTION]...                    a shell on its console
#   vm.sh run [OPTION]... -- COMMAND...  runs that in it, and exits as it did
# COMMAND is a line for its shell; if its first word is a file here, that file
# is brought along. What it prints comes out here; the kernel's log goes to a
# file, and a complaint in it is a failure (exit 99), as is a hang (exit 124).
# Exits 77 if there is no machine to be had. A kernel that hangs before its first program,
# as an emulated one does now and then on a busy host, is started once more.
#   --add FILE[=PATH]   bring FILE along (as PATH, else as /bin/NAME), with its libraries
#   --memory MIB        1024
#   --nvdimm IMAGE      its persistent memory, kept (run: a fresh one, thrown away)
#   --nvdimm-size MIB   of a new image, 512
#   --reset             begin with a new image
#   --raw               leave a new image without DAX, and without a pool
#   --second MIB        a second /dev/pmemN, of plain memory (memmap=)
#   --pull-plug LINE    kill the machine when it prints this line (exit 0)
#   --timeout SECONDS   120
#   --allow REGEX       lines of the kernel's log that are no failure here
#   --module FILE       another twz.ko than the one that kmod.sh builds
#   --module-args ARGS  its parameters; --no-module: do not load it
#   --tree DIR          another kernel than the one kernel.sh finds
#   --debug             with a kernel that checks itself (debug-kernel.sh), six times as slow
#   --append WORDS      for the kernel's command line
#   --log FILE          where the kernel's log goes
#   --trace FILE        where every store to the NVDIMM goes (tests/trace), of one processor
#   --icount            a nanosecond is one instruction of one processor, whatever the host does
# NVDIMM names the image of the shell's machine, TWZ_ACCEL the kind of emulation.
set -euo pipefail
here=$PWD asked=("$@")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=$PWD/scripts/vm.sh

say() { echo "vm.sh: $*" >&2; }
die() { say "$*" && exit 2; }

cache=${TWZ_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/twz}
mode=shell tree='' build=build module='' module_args='' load=yes fsdax=yes
memory=1024 image='' size=512 reset='' second=0 plug='' seconds=120 allow='' append='' log='' trace='' icount=''
add=() command=()

# at FILE: a path that the caller gave, from where the caller is.
at() { [[ $1 == /* ]] && echo "$1" || echo "$here/$1"; }

if [[ ${1:-} == run ]]; then mode=run && shift; fi
while (($#)); do
    case $1 in
        --) shift && command=("$@") && break ;;
        --reset) reset=yes ;;
        --raw) fsdax=no ;;
        --no-module) load=no ;;
        --debug) build=debug ;;
        --icount) icount=yes ;;
        --*) (($# > 1)) || die "$1 wants a value" ;;&
        --add) add+=("$2") && shift ;;
        --memory) memory=$2 && shift ;;
        --nvdimm) image=$(at "$2") && shift ;;
        --nvdimm-size) size=$2 && shift ;;
        --second) second=$2 && shift ;;
        --pull-plug) plug=$2 && shift ;;
        --timeout) seconds=$2 && shift ;;
        --allow) allow=$2 && shift ;;
        --module) module=$(at "$2") && shift ;;
        --module-args) module_args=$2 && shift ;;
        --tree) tree=$(at "$2") && shift ;;
        --append) append=$2 && shift ;;
        --log) log=$(at "$2") && shift ;;
        --trace) trace=$(at "$2") && shift ;;
        *) die "unknown argument '$1'" ;;
    esac
    shift
done
[[ $mode == shell ]] || ((${#command[@]})) || die "run what? (vm.sh run [OPTION]... -- COMMAND...)"

scripts/deps.sh vm || { say "SKIPPED: no tools to boot with (the reason is above)" && exit 77; }
# Debian trixie's QEMU, wherever this runs: before 8.1 its emulation of several
# processors now and then ran code that the kernel had just patched away.
tools=$(scripts/trixie.sh --chroot --packages qemu-system-x86,busybox-static) || {
    say "SKIPPED: no QEMU to be had (the reason is above)"
    exit 77
}
[[ -n $tree ]] || tree=$(scripts/kernel.sh) || exit
kernel=vmlinuz modules=$tree/modules
if [[ $build == debug ]]; then
    build=$(basename "$(scripts/debug-kernel.sh "$tree")")
    kernel=$build/vmlinuz modules=$tree/$build/modules
    # What it keeps to check with takes memory, and the checks take time.
    memory=$((memory < 2048 ? 2048 : memory)) seconds=$((6 * seconds))
fi
[[ $load == no || -n $module ]] || module=$(BUILD=$build scripts/kmod.sh "$tree") || exit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ---- What is brought along ---------------------------------------------------
files=()
if [[ $load == yes ]]; then files+=("$module=/lib/modules/twz.ko"); fi
for one in "${add[@]}"; do
    from=$(at "${one%%=*}") to=/bin/$(basename "${one%%=*}")
    [[ $one != *=* ]] || to=${one#*=}
    [[ -e $from ]] || die "no file $from"
    files+=("$from=$to")
done
# The command makes the pool that the module serves.
"${CARGO:-cargo}" build --quiet --release -p twzd >"$work/twz.log" 2>&1 || {
    tail -n 20 "$work/twz.log" >&2
    say "twz does not build, going on with what there is of it"
}
built=${CARGO_TARGET_DIR:-target}/release
[[ ! -x $built/twz ]] || files+=("$built/twz=/bin/twz")
if [[ $mode == shell ]]; then
    # What the README does there.
    "${CARGO:-cargo}" build --quiet --release -p twz-examples
    files+=("$built/tour=/bin/tour" "$built/sandbox=/bin/sandbox")
fi
if ((${#command[@]})) && [[ -f $(at "${command[0]}") ]]; then
    files+=("$(at "${command[0]}")=/bin/$(basename "${command[0]}")")
    command[0]=$(basename "${command[0]}")
fi
{
    printf 'TWZ_COMMAND=%q\nTWZ_LOAD=%q\n' "${command[*]}" "$load"
    printf 'TWZ_MODULE_ARGS=%q\nTWZ_FSDAX=%q\n' "$module_args" "$fsdax"
} >"$work/conf"
MODULES=$modules scripts/vm-image.sh "$tools" "$work/initramfs" "$work/conf" "${files[@]}"

# ---- The machine --------------------------------------------------------------
# A sparse file; the emulated memory is the file, so it survives even a kill.
[[ $mode == run ]] || image=${image:-${NVDIMM:-$cache/vm/nv.img}}
image=${image:-$work/nv.img}
mkdir -p "$(dirname "$image")"
exec 8>"$image.lock"
flock -n 8 || die "another machine is using $image"
[[ -z $reset ]] || rm -f "$image"
[[ -e $image ]] || truncate -s "${size}M" "$image"
size=$(($(stat -c %s "$image") >> 20))

words="console=ttyS0 panic=-1 loglevel=7"
if ((second > 0)); then
    # Above the first gigabyte, of memory added for it; the firmware's tables are at the end.
    memory=$(((memory < 1024 ? 1024 : memory) + second + 16))
    words+=" memmap=${second}M!1G"
fi
in_tools=(scripts/inside.sh "$tools" --bind "$work" /vm/work --bind "$tree" /vm/kernel
    --bind "$(dirname "$image")" /vm/image)
# shellcheck disable=SC2054 # the commas are QEMU's
qemu=("${in_tools[@]}" qemu-system-x86_64 -machine q35,nvdimm=on -cpu max -smp 2
    -m "${memory}M,slots=2,maxmem=$((memory + size + 1024))M"
    -object "memory-backend-file,id=nv,share=on,mem-path=/vm/image/$(basename "$image"),size=${size}M,align=2M"
    -device nvdimm,memdev=nv -kernel "/vm/kernel/$kernel" -initrd /vm/work/initramfs
    -append "$words $append" -no-reboot -display none -nodefaults -nic none)

# KVM is better, where it can boot this kernel at all: asked once per machine and boot.
works_with_kvm() {
    [[ -w /dev/kvm ]] || return
    local verdict
    verdict=$cache/vm/kvm-$(basename "$tree")-$(</proc/sys/kernel/random/boot_id)
    if [[ ! -e $verdict ]]; then
        mkdir -p "$cache/vm"
        rm -f "$cache/vm/kvm-$(basename "$tree")-"*
        (timeout 10 "${in_tools[@]}" qemu-system-x86_64 -machine q35 -accel kvm -cpu max -m 512M \
            -kernel "/vm/kernel/$kernel" -append "console=ttyS0 panic=-1" \
            -no-reboot -display none -nodefaults -serial stdio \
            </dev/null >"$work/kvm.log" 2>&1; true) 2>/dev/null
        # Without a root to mount it panics, and that is far enough.
        grep -aq 'Kernel panic - not syncing: VFS' "$work/kvm.log" && echo yes >"$verdict" || echo no >"$verdict"
    fi
    [[ $(<"$verdict") == yes ]]
}
accel=${TWZ_ACCEL:-}
if [[ -n $trace ]]; then
    # Only emulation tells, and only of one processor in which order. The NVDIMM is
    # where memory that can be added begins: after four gigabytes, of which none is used.
    "${CARGO:-cargo}" build --quiet --release -p twz-trace --examples
    cp "${CARGO_TARGET_DIR:-target}/release/examples/libtwz_trace.so" "$work/"
    accel=tcg,thread=single
    qemu+=(-smp 1 -plugin "/vm/work/libtwz_trace.so,base=$((4 << 30)),size=$((size << 20)),log=/vm/work/trace")
fi
if [[ -n $icount ]]; then
    accel=tcg,thread=single
    qemu+=(-smp 1 -icount "shift=0,sleep=off")
fi
if [[ -z $accel ]]; then works_with_kvm && accel=kvm || accel=tcg,thread=multi; fi
qemu+=(-accel "$accel")

if [[ $mode == shell ]]; then
    say "Linux $(<"$tree/release"), $image as /dev/pmem0, $accel; Ctrl-A X ends it at once"
    "${qemu[@]}" -serial mon:stdio
    exit
fi

# ---- A run ------------------------------------------------------------------------
[[ -n $log ]] || log=$(realpath -m "${CARGO_TARGET_DIR:-target}/vm/$$.log")
# shellcheck disable=SC2054 # the commas are QEMU's
qemu+=(-serial file:/vm/work/log -device virtio-serial-pci
    -chardev "file,id=out,path=/vm/work/out" -device virtserialport,chardev=out,nr=1
    -chardev "file,id=status,path=/vm/work/status" -device virtserialport,chardev=status,nr=2)
: >"$work/out"
"${qemu[@]}" </dev/null >"$work/qemu.log" 2>&1 8>&- &
pid=$!
# Not a job of this shell's, which would report that it was killed.
disown "$pid"
trap 'kill -9 "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT

# end WHY: at once, as if the power went.
end() { echo "$1" >"$work/ended" && kill -9 "$pid" 2>/dev/null; }
[[ $build == debug ]] && boot=300 || boot=90
((boot < seconds)) || boot=$seconds
# shellcheck disable=SC2016 # the inner shell's variables
bash -c 'trap "kill \$! 2>/dev/null; exit" TERM
    sleep "$1" & wait $!
    grep -aq "Run /init as init process" "$4/log" || { echo stuck >"$4/ended" && kill -9 "$3" && exit; }
    sleep "$2" & wait $!
    echo late >"$4/ended" && kill -9 "$3"' \
    timer "$boot" "$((seconds - boot))" "$pid" "$work" </dev/null >/dev/null 2>&1 8>&- &
timer=$!

tail -n +1 -s 0.1 --pid="$pid" -f "$work/out" 8>&- | while IFS= read -r line || [[ -n $line ]]; do
    printf '%s\n' "$line"
    [[ -z $plug || $line != "$plug" ]] || end pulled
done
kill "$timer" 2>/dev/null || true
mkdir -p "$(dirname "$log")"
cp "$work/log" "$log"
[[ -z $trace ]] || mv "$work/trace" "$trace"
ended=$(cat "$work/ended" 2>/dev/null || true)

if [[ $ended == stuck && -z ${TWZ_VM_AGAIN:-} ]]; then
    say "the kernel hung before its first program, $log: once more"
    rm -rf "$work"
    cd "$here"
    TWZ_VM_AGAIN=yes exec "$program" "${asked[@]}"
fi
[[ ! -s $work/qemu.log ]] || sed 's/^/vm.sh: qemu: /' "$work/qemu.log" >&2
status=$(tr -dc 0-9 2>/dev/null <"$work/status" || true)
scripts/vm-log.sh "$log" "$allow" >&2 || exit 99
case $ended in
    pulled) exit 0 ;;
    stuck)
        say "FAILED: the kernel hung before its first program, twice; the end of its log ($log):"
        tail -n 20 "$log" >&2
        exit 124
        ;;
    late)
        say "FAILED: not done after $seconds s; the end of the kernel's log ($log):"
        tail -n 20 "$log" >&2
        exit 124
        ;;
esac
if [[ -z $status ]]; then
    say "FAILED: the machine went off by itself; the end of the kernel's log ($log):"
    tail -n 20 "$log" >&2
    exit 98
fi
exit "$status"
