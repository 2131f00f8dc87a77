#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Installs the system packages that WHAT... needs, and only those that are missing:
#   deps.sh build|bench|redis|fuzz|mount|msrv|kmod|vm|posix|posix-all...
# It looks for the commands and headers themselves, so it is instant when they
# are there and never touches the network then.
set -euo pipefail

# need PACKAGE PROBE: a probe with a slash is a file, or a pattern that one matches;
# else it is a command.
missing=()
need() {
    case $2 in
        */*) compgen -G "$2" >/dev/null || missing+=("$1") ;;
        *) command -v "$2" >/dev/null || missing+=("$1") ;;
    esac
}

for what in "$@"; do
    case $what in
        build)
            need gcc gcc
            need libc6-dev /usr/include/stdlib.h
            need pkg-config pkg-config
            need make make
            need strace strace
            ;;
        bench)
            need gcc gcc
            need libpmemobj-dev /usr/include/libpmemobj.h
            need liblmdb-dev /usr/include/lmdb.h
            need librocksdb-dev /usr/include/rocksdb/c.h
            need libsqlite3-dev /usr/include/sqlite3.h
            need valgrind valgrind
            need dbench dbench
            ;;
        redis)
            need redis-tools redis-cli
            need redis-server redis-server
            ;;
        fuzz) need g++ g++ ;;
        mount)
            need acl setfacl
            need fuse3 fusermount3
            need git git
            need python3 python3
            need rsync rsync
            need sqlite3 sqlite3
            ;;
        msrv)
            need mmdebstrap mmdebstrap
            need debian-archive-keyring /usr/share/keyrings/debian-archive-keyring.gpg
            # Without root, mmdebstrap unpacks in a user namespace.
            ((EUID == 0)) || need uidmap newuidmap
            ;;
        kmod)
            need rsync rsync
            need util-linux unshare
            need binutils objdump
            ;;
        vm)
            need cpio cpio
            need binutils strip
            need e2fsprogs mkfs.ext4
            ;;
        posix)
            # What the suites are made of, and the programs that are run, unmodified.
            for tool in bash dash gawk perl sed grep patch make gcc tar gzip bzip2 zip unzip rsync \
                cpio git vim sqlite3 fio curl nginx redis-server; do
                need "$tool" "$tool"
            done
            need dpkg-dev dpkg-source
            need redis-tools redis-cli
            need xz-utils xz
            # Debian's own, whose tests are a package by its version.
            need python3 /usr/bin/python3
            python=$(readlink /usr/bin/python3) || { grep -q bookworm /etc/os-release && python=python3.11; } ||
                python=python3.13
            need "lib$python-testsuite" "/usr/lib/$python/test/test_largefile.py"
            need diffutils diff
            need binutils objdump
            need findutils find
            need util-linux setpriv
            need busybox-static busybox
            need inotify-tools inotifywait
            need postgresql '/usr/lib/postgresql/*/bin/initdb'
            ;;
        posix-all)
            # What only the whole suites want, to be built and to run.
            need apt apt-get
            need dbench dbench
            need go-md2man go-md2man
            need libc6-dev /usr/include/stdlib.h
            need lua5.4 lua5.4
            need nodejs node
            need restic restic
            need stress-ng stress-ng
            # SQLite's and Redis' tests are in it; the former's are built against it.
            need tcl tclsh
            need tcl8.6-dev /usr/include/tcl8.6/tcl.h
            need zlib1g-dev /usr/include/zlib.h
            ;;
        *)
            echo "deps.sh: no such thing as '$what' (build, bench, redis, fuzz, mount, msrv, kmod, vm, posix, posix-all)" >&2
            exit 2
            ;;
    esac
done

# Rust comes from rustup, not from apt: Debian's is older than the 1.88 we use.
rust_advice="install a Rust toolchain, 1.88 or newer, with rustup (or: rustup update stable)"
version=$("${CARGO:-cargo}" --version 2>/dev/null | awk '{ print $2 }') || true
if [[ -z $version ]]; then
    echo "deps.sh: cargo is missing; $rust_advice" >&2
    exit 1
fi
if [[ $(printf '%s\n' 1.88.0 "${version%%-*}" | sort -V | head -n1) != 1.88.0 ]]; then
    echo "deps.sh: cargo $version is too old; $rust_advice" >&2
    exit 1
fi

((${#missing[@]})) || exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)

if ! command -v apt-get >/dev/null; then
    echo "deps.sh: not a Debian; install what these Debian packages hold: ${missing[*]}" >&2
    exit 1
fi
as_root=()
if ((EUID != 0)); then
    # Without a terminal there is nobody to ask for a password.
    if ! command -v sudo >/dev/null || ! { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then
        echo "deps.sh: missing packages, and no root to install them with. Run as root:" >&2
        echo "    apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "deps.sh: installing ${missing[*]}" >&2
"${as_root[@]}" apt-get update -qq >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
