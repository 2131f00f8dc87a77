#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Writes the initramfs that vm.sh boots:
#   MODULES=DIR vm-image.sh TOOLS OUT CONF [FILE=PATH]...
# DIR has the kernel's modules, TOOLS is the tree with busybox, CONF what vm-init.sh
# reads, and each FILE here will be PATH there, with the shared libraries it needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools=$1 out=$2 conf=$3
shift 3

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# It becomes the machine's /, where other users are to go, too.
chmod 755 "$root"
mkdir -p "$root"/{bin,sbin,dev,etc,lib/modules,lib64,proc,run,sys,tmp,usr/bin,usr/sbin,usr/lib}

install -m755 "$tools"/{usr/,}bin/busybox -t "$root/bin" 2>/dev/null || [[ -x $root/bin/busybox ]]
"$root/bin/busybox" --list | while read -r name; do
    [[ $name == busybox ]] || ln -s busybox "$root/bin/$name"
done
install -m755 scripts/vm-init.sh "$root/init"
install -m755 scripts/pmem.sh "$root/bin/pmem.sh"
install -m644 "$conf" "$root/etc/vm.conf"
echo 'root:x:0:0:root:/tmp:/bin/sh' >"$root/etc/passwd"
echo 'twz:x:1000:1000:a user:/tmp:/bin/sh' >>"$root/etc/passwd"
printf 'root:x:0:\ntwz:x:1000:\n' >"$root/etc/group"
cp "$MODULES"/* "$root/lib/modules/"

# libraries FILE: the shared objects it needs, and the loader; nothing if it is static.
libraries() { ldd "$1" 2>/dev/null | grep -oE '/[^ ]+' || true; }

for pair; do
    from=${pair%%=*} to=${pair#*=}
    mkdir -p "$root/$(dirname "$to")"
    cp -rL "$from" "$root/$to"
    case $to in
        *.ko) strip --strip-debug "$root/$to" 2>/dev/null || true ;;
        /bin/*) chmod -R a+rx "$root/$to" ;;
    esac
    [[ -f $from ]] || continue
    for library in $(libraries "$from"); do
        [[ -e $root/$library ]] || install -D "$library" "$root/$library"
    done
done

(cd "$root" && find . -print0 | sort -z | cpio --quiet --null -o -H newc -R 0:0) >"$out"
