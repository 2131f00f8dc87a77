#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Debian's packages, made, and installed beneath a root that is a directory here.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/shared.sh"

# package VERSION LINES: a package `thing` with a file, a link, a configuration and a script.
package() {
    rm -rf p
    mkdir -p p/DEBIAN p/usr/share/thing p/etc
    lines "$2" >p/usr/share/thing/data
    ln -s data p/usr/share/thing/link
    echo "setting of $1" >p/etc/thing.conf
    echo /etc/thing.conf >p/DEBIAN/conffiles
    printf '#!/bin/sh\necho "$1" >>"$DPKG_ROOT/log"\n' >p/DEBIAN/postinst
    chmod 755 p/DEBIAN/postinst
    printf 'Package: thing\nVersion: %s\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: a thing\n' "$1" >p/DEBIAN/control
    (cd p && md5sum usr/share/thing/data >DEBIAN/md5sums)
    dpkg-deb -b --root-owner-group p "thing_$1.deb" >/dev/null
}

full_dpkg_deb() {
    package 1 10
    dpkg-deb -x thing_1.deb x
    cmp p/usr/share/thing/data x/usr/share/thing/data
    same link "$(readlink x/usr/share/thing/link)" data
    dpkg-deb -f thing_1.deb Version | has -x 1
}

# An empty root as dpkg wants one.
root() {
    mkdir -p root/var/lib/dpkg/{info,updates,triggers} root/etc
    : >root/var/lib/dpkg/status
    options=(--root="$PWD/root" --force-not-root --force-script-chrootless --log=/dev/null)
}

status() { dpkg-query --admindir=root/var/lib/dpkg -W -f '${Version} ${db:Status-Status}' thing; }

full_dpkg_root() {
    root
    package 1 10
    dpkg "${options[@]}" -i thing_1.deb >/dev/null
    same status "$(status)" '1 installed'
    dpkg --root="$PWD/root" --verify thing
    echo mine >root/etc/thing.conf
    # The new one replaces all but what was changed here.
    package 2 5000
    dpkg "${options[@]}" --force-confold -i thing_2.deb >/dev/null
    same status "$(status)" '2 installed'
    same configuration "$(<root/etc/thing.conf)" mine
    cmp p/usr/share/thing/data root/usr/share/thing/data
    grep -qx 'setting of 2' root/etc/thing.conf.dpkg-dist
    ! dpkg --root="$PWD/root" --verify thing | grep -v /etc/thing.conf || die 'dpkg finds changes'
    dpkg "${options[@]}" -r thing >/dev/null
    [[ ! -e root/usr/share/thing && -e root/etc/thing.conf ]]
    dpkg "${options[@]}" -P thing >/dev/null
    [[ ! -e root/etc/thing.conf ]]
    same scripts "$(sort root/log | uniq -c | tr -s ' ' | tr '\n' ,)" ' 2 configure,'
}

full_apt_root() {
    root
    package 1 10
    package 2 20
    mkdir -p root/etc/apt/{apt.conf.d,preferences.d} root/var/log/apt root/var/lib/apt/lists/partial root/var/cache/apt/archives/partial repository
    cp thing_?.deb repository
    (cd repository && dpkg-scanpackages -m . 2>/dev/null >Packages)
    echo "deb [trusted=yes] file:$PWD/repository ./" >root/etc/apt/sources.list
    apt=(-qq -y -o "Dir=$PWD/root" -o "Dir::State::status=$PWD/root/var/lib/dpkg/status"
        -o "Dir::Bin::dpkg=/usr/bin/dpkg" -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0)
    for option in "${options[@]}"; do apt+=(-o "DPkg::Options::=$option"); done
    apt-get "${apt[@]}" update
    apt-get "${apt[@]}" install thing=1 >/dev/null
    same status "$(status)" '1 installed'
    apt-get "${apt[@]}" dist-upgrade >/dev/null
    same status "$(status)" '2 installed'
    same lines "$(wc -l <root/usr/share/thing/data)" 20
    apt-cache -o "Dir=$PWD/root" -o "Dir::State::status=$PWD/root/var/lib/dpkg/status" policy thing | has 'Installed: 2'
    apt-get "${apt[@]}" purge thing >/dev/null
    [[ ! -e root/usr/share/thing ]]
}

"$1"
