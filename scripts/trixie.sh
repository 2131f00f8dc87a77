#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Prints the path of a cached Debian trixie tree, making it first if need be:
#   trixie.sh [--chroot] [--backports] [--packages a,b,...]       (default: rustc)
# Trixie's rustc 1.85 is the one Debian builds its kernel with. By default the
# packages are only unpacked, to be run through the tree's own ld.so; --chroot
# configures them too. With --backports its apt also knows trixie-backports,
# where the kernels are. Exits 77 when the tree cannot be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

suite=trixie variant=extract packages=rustc suites=(trixie)
while (($#)); do
    case $1 in
        --chroot) variant=minbase ;;
        --backports) suites+=(trixie-backports) ;;
        --packages) packages=$2 && shift ;;
        *) echo "trixie.sh: unknown argument '$1'" >&2 && exit 2 ;;
    esac
    shift
done

cache=${TWZ_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/twz}
packages=$(tr ',' '\n' <<<"$packages" | sort -u | paste -sd,)
key=$(printf '%s\n' "${suites[@]}" "$variant" "$packages" | sha256sum | cut -c1-12)
tree=$cache/$suite-$key
if [[ -d $tree ]]; then
    echo "$tree" && exit
fi

# The mirror this machine already uses for its own Debian release, if it is one.
mirror() {
    local id='' codename=''
    id=$(. /etc/os-release && echo "${ID:-}")
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    # shellcheck disable=SC2016 # apt's own variables, not the shell's
    [[ $id != debian ]] || apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' |
        awk -v release="$codename" '$2 == release && $3 == "main" && !seen++ { print $1 }'
}

scripts/deps.sh msrv || exit 77
url=${TWZ_DEBIAN_MIRROR:-$(mirror)}
if [[ -z $url ]]; then
    echo "trixie.sh: this machine uses no Debian mirror; name one in TWZ_DEBIAN_MIRROR" >&2
    exit 77
fi

# Made under another name and renamed when whole: an interrupted run leaves
# nothing that looks finished. Through tar, so that without root the files
# belong to the caller and not to the user namespace they were unpacked in;
# device nodes are for root alone.
mkdir -p "$cache"
half=$(mktemp -d "$tree.XXXXXX")
trap 'rm -rf "$half"' EXIT
chmod 755 "$half"
echo "trixie.sh: unpacking $suite ($packages) into $tree, once" >&2
as=(--no-same-owner --exclude='./dev/*')
((EUID != 0)) || as=(--same-owner --numeric-owner)
mmdebstrap --quiet --variant="$variant" --components=main --include="$packages" \
    --format=tar "$suite" - - < <(printf "deb $url %s main\n" "${suites[@]}") |
    tar -C "$half" -x "${as[@]}" >&2 || exit 77
# Somebody else may have finished first; theirs is as good.
mv -T "$half" "$tree" 2>/dev/null || [[ -d $tree ]]
echo "$tree"
