#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs a command inside a tree that trixie.sh --chroot made, with /proc, /dev
# and what --bind names mounted for it alone (FROM is a path here, TO one in there):
#   inside.sh TREE [--bind FROM TO]... COMMAND...
# Root needs no more than a mount namespace; anybody else becomes the root of a
# user namespace, where the kernel allows that. Exits 77 when it cannot be done.
set -euo pipefail

tree=$1 binds=()
shift
while [[ ${1:-} == --bind ]]; do
    binds+=("$(realpath "$2")" "$3")
    shift 3
done

as=(--mount --propagation private)
((EUID == 0)) || as+=(--map-root-user)
if ! unshare "${as[@]}" mount --bind /proc /proc 2>/dev/null; then
    echo "inside.sh: SKIPPED: no mount namespace to be had here: run as root, or allow user namespaces" >&2
    exit 77
fi

# A proxy is of the network, not of this machine: it stays.
keep=()
for name in http_proxy https_proxy no_proxy; do
    [[ -z ${!name:-} ]] || keep+=("$name=${!name}")
done

mkdir -p "$tree/proc" "$tree/dev"
for ((i = 1; i < ${#binds[@]}; i += 2)); do mkdir -p "$tree${binds[i]}"; done
# shellcheck disable=SC2016 # the inner shell's variables
exec unshare "${as[@]}" bash -c '
    set -euo pipefail
    tree=$1 count=$2
    shift 2
    # A pool that somebody has mounted is not to be held here when it is unmounted there.
    umount --internal-only --all --lazy --types fuse.twz || true
    # A mount of its own, so that in there this very script works again.
    mount --bind "$tree" "$tree"
    mount --rbind /proc "$tree/proc"
    mount --rbind /dev "$tree/dev"
    # Names are looked up as they are here.
    cat /etc/resolv.conf >"$tree/etc/resolv.conf"
    for ((; count > 0; count -= 2)); do
        mount --bind "$1" "$tree$2"
        shift 2
    done
    exec chroot "$tree" "$@"
' inside "$tree" "${#binds[@]}" "${binds[@]}" \
    /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C "${keep[@]}" "$@"
