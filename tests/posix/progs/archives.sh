#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# What packs, unpacks and copies trees.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/shared.sh"

# like A B: the same names, bytes, modes, times to the second, and links.
like() {
    diff -r --no-dereference "$1" "$2"
    diff <(cd "$1" && find . -type f -exec stat -c '%n %a %Y %h' {} + | sort) \
        <(cd "$2" && find . -type f -exec stat -c '%n %a %Y %h' {} + | sort)
}

quick_tar() {
    tree t
    tar cf t.tar t
    mkdir x
    tar xpf t.tar -C x
    like t x/t
    tar tf t.tar | has -x t/a/b/hard
    echo more >t/new
    tar rf t.tar t/new
    tar --delete -f t.tar t/a/1
    ! tar tf t.tar | has -x t/a/1 || die 'it went well: tar tf t.tar | has -x t/a/1'
    tar tf t.tar | has -x t/new
    truncate -s 20M t/hole
    tar cSf s.tar t/hole
    (($(stat -c %s s.tar) < 100000))
    mkdir y
    tar xSf s.tar -C y
    cmp t/hole y/t/hole
    tar df s.tar
}

quick_compressors() {
    lines 20000 >f
    cp f g
    for tool in gzip bzip2 xz; do
        "$tool" f && [[ ! -e f ]] && "$tool" -t f.* && "$tool" -d f.* && cmp f g || die "$tool"
    done
    gzip -k f
    zcat f.gz | cmp - g
    touch -r f t
    [[ ! f.gz -nt t ]]
}

quick_zip() {
    tree t
    zip -qry t.zip t
    unzip -qt t.zip >/dev/null
    mkdir x
    unzip -q t.zip -d x
    diff -r --no-dereference t x/t
    echo changed >t/a/1
    # Newer than what is packed: times there are of two seconds.
    touch -d '+1 minute' t/a/1
    zip -qu t.zip t/a/1
    same it "$(unzip -p t.zip t/a/1)" changed
    zip -qd t.zip 't/a/b/*'
    ! unzip -l t.zip | has notes.txt || die 'it went well: unzip -l t.zip | has notes.txt'
}

quick_rsync() {
    tree t
    rsync -aH t/ u/
    like t u
    same 'nothing to do' "$(rsync -aHi t/ u/ | wc -l)" 0
    echo more >>t/a/70000
    rm t/a/1
    rsync -aH --delete --inplace --no-whole-file t/ u/
    like t u
    rsync -aHc --backup --suffix=.old --link-dest="$PWD/u" t/ v/
    diff -r --no-dereference t v
    same 'shared by a link' "$(stat -c %i u/a/4097)" "$(stat -c %i v/a/4097)"
    truncate -s 10M hole
    rsync -S hole hole2
    cmp hole hole2
}

quick_cpio() {
    tree t
    find t -depth -print0 | cpio -0 -o -H newc 2>/dev/null >t.cpio
    mkdir x
    (cd x && cpio -idm 2>/dev/null <../t.cpio)
    like t x/t
}

"$1"
