#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Shells and coreutils.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/shared.sh"

quick_bash_redirect() {
    echo one >f
    echo two >>f
    same f "$(<f)" $'one\ntwo'
    (set -o noclobber && ! echo no 2>/dev/null >f) || die 'noclobber let it through'
    cat <<'END' >here
$not expanded
END
    same here "$(<here)" '$not expanded'
    exec 5<>f
    read -r -u5 first
    echo 2ND >&5
    exec 5>&-
    same first "$first" one
    same f "$(<f)" $'one\n2ND'
    diff <(cat f) f
    : >f && [[ ! -s f ]] || die 'f is not empty'
}

quick_bash_inherit_offset() {
    # One open file, one offset, whoever reads.
    lines 3 >f
    exec 6<f
    (read -r _ <&6)
    read -r second <&6
    [[ $second == 'line 2 '* ]] || die "read '$second'"
    exec 7>out
    (echo a >&7)
    echo b >&7
    bash -c 'echo c >&7'
    same out "$(<out)" $'a\nb\nc'
}

quick_bash_append_many() {
    local i
    for i in 1 2 3 4 5 6 7 8; do
        (for j in $(seq 200); do echo "process $i line $j" >>log; done) &
    done
    wait
    same 'number of lines' "$(wc -l <log)" 1600
    same 'different ones' "$(sort -u log | wc -l)" 1600
}

quick_dash_script() {
    cat >script <<'END'
#!/bin/dash
set -e
for i in 1 2 3; do echo $i > n$i; done
cat n* > all
test "$(cat all | wc -l)" -eq 3
END
    chmod +x script
    ./script
    same all "$(tr '\n' ' ' <all)" '1 2 3 '
}

quick_coreutils_files() {
    tree t
    cp -a t u
    diff -r --no-dereference t u
    same 'the time of a copy' "$(stat -c %Y u/a/4097)" "$(stat -c %Y t/a/4097)"
    same 'the links of a copy' "$(stat -c %h u/a/100)" 2
    mv u/a v
    [[ -f v/b/hard && ! -e u/a ]]
    install -m 640 v/1 w
    same 'its mode' "$(stat -c %a w)" 640
    ln v/1 x
    ln -s v/1 y
    same y "$(readlink y)" v/1
    same 'its path' "$(realpath y)" "$PWD/v/1"
    rm -r t u
    [[ ! -e t ]]
    ! rmdir --parents z 2>/dev/null || die 'there is no z'
    mkdir -p p/q/r
    rmdir p/q/r
    rmdir --parents p/q
    [[ ! -e p ]]
    mktemp -p . >name
    [[ -f $(<name) ]]
    truncate -s 10000 x
    same 'its size' "$(stat -c %s x)" 10000
    shred -u x
    [[ ! -e x ]]
    same 'a sum' "$(lines 2000 | head -c 70000 | sha256sum)" "$(sha256sum <v/70000)"
    du -s --apparent-size -B1 v >/dev/null
    df . >/dev/null
    sync v/1
    stat -f . >/dev/null
}

quick_coreutils_streams() {
    lines 5000 >f
    split -l 700 f part.
    cat part.* | cmp - f
    sort -R f >g
    sort -V -o g g
    cmp f g
    tee -a g <f >/dev/null
    same g "$(wc -l <g)" 10000
    head -n 10 f | tail -n 1 | has 'line 10 '
    tac f | tac | cmp - f
    dd if=f of=h bs=1000 status=none
    cmp f h
    printf X | dd of=h bs=1 seek=1234 conv=notrunc status=none
    same 'bytes that differ' "$(cmp -l f h | wc -l)" 1
    csplit -s -f cs. f '/line 100 /' '/line 200 /'
    cat cs.* | cmp - f
    sort -S 100K -T . -k2n f | cmp - f
    uniq -c f | wc -l | has -x 5000
}

quick_coreutils_sparse() {
    truncate -s 100M hole
    printf end >>hole
    same 'its size' "$(stat -c %s hole)" 104857603
    (($(stat -c %b hole) < 1000)) || die "it takes $(stat -c %b hole) blocks"
    cp --sparse=always hole copy
    cmp hole copy
    (($(stat -c %b copy) < 1000)) || die "the copy takes $(stat -c %b copy) blocks"
    fallocate -l 1M full
    fallocate -p -o 4096 -l 524288 full
    (($(stat -c %b full) < 2048)) || die 'no hole was made'
    same 'its size' "$(stat -c %s full)" 1048576
}

quick_coreutils_modes_and_times() {
    touch -d '1999-12-31 23:59:59' f
    same mtime "$(stat -c %Y f)" "$(date -d '1999-12-31 23:59:59' +%s)"
    before=$(stat -c %.9Y f) && echo x >>f && [[ $(stat -c %.9Y f) != "$before" ]] || die 'mtime stood still'
    touch -r f g
    [[ ! g -nt f && ! f -nt g ]]
    chmod 4711 f
    same mode "$(stat -c %a f)" 4711
    chmod u=rw,go= f
    same mode "$(stat -c %a f)" 600
    (umask 027 && : >h && mkdir d)
    same modes "$(stat -c %a h d | tr '\n' ' ')" '640 750 '
    if ((EUID == 0)); then
        chown nobody:nogroup h
        same owner "$(stat -c %U:%G h)" nobody:nogroup
        ! setpriv --reuid=daemon --regid=daemon --clear-groups cat h 2>err || die 'others can read h'
        grep -q 'Permission denied' err
    fi
    mkfifo pipe
    (echo through >pipe &)
    same pipe "$(<pipe)" through
}

quick_findutils() {
    tree t
    same files "$(find t -type f | wc -l)" 10
    same links "$(find t -type l | wc -l)" 2
    find t -name '*.c' -newermt 2002-01-01 | has -x t/a/b/c/main.c
    same 'one inode' "$(find t -samefile t/a/100 | wc -l)" 2
    find t -type f -print0 | xargs -0 -P4 -n1 sh -c 'cp "$0" "$0.bak"'
    same backups "$(find t -name '*.bak' | wc -l)" 10
    find t -name '*.bak' -delete
    find t -depth -type d -empty -exec rmdir {} +
    [[ ! -e t/empty ]]
}

quick_long_and_odd_names() {
    name=$(printf 'n%.0s' $(seq 255))
    echo x >"$name"
    same it "$(cat "$name")" x
    ! : 2>err >"${name}n" || die 'it went well: : 2>err >"${name}n"'
    grep -q 'File name too long' err
    for odd in ' ' '-rf' $'new\nline' '*' 'ä☃' $'\xff\xfe' '.hidden' "it's" '\'; do
        printf %s "$odd" >"./$odd"
        same "$odd" "$(cat "./$odd"; echo .)" "$odd."
    done
    same names "$(find . -mindepth 1 -maxdepth 1 -printf x | wc -c)" 11
    deep=$(printf 'd/%.0s' $(seq 400))
    mkdir -p "$deep"
    echo deep >"${deep}f"
    same 'far down' "$(<"${deep}f")" deep
    rm -r d
}

quick_many_files() {
    mkdir many
    cd many
    seq 1000 | xargs touch
    same count "$(ls -f | wc -l)" 1002
    same last "$(ls -v | tail -n1)" 1000
    seq 1 2 1000 | xargs rm
    same left "$(ls | wc -l)" 500
}

quick_tail_follow() {
    : >log
    tail -n +1 -f log >seen &
    for i in $(seq 20); do echo "$i" >>log; done
    until_true grep -qx 20 seen
    kill $!
    cmp log seen
}

quick_inotifywait() {
    mkdir d
    inotifywait -q -m -e create -e modify -e moved_to -e delete --format '%e %f' d >events 2>/dev/null &
    # A name that shows that it watches by now.
    until_true sh -c 'touch d/ready; rm d/ready; grep -q ready events'
    echo x >d/a
    mv d/a d/b
    rm d/b
    until_true grep -qx 'DELETE b' events
    kill $!
    for event in 'CREATE a' 'MODIFY a' 'MOVED_TO b'; do grep -qx "$event" events || die "no $event"; done
}

quick_static_busybox() {
    # No libc to interpose on.
    bb=$(command -v busybox)
    ! readelf -l "$bb" | has INTERP || die 'this busybox is not static: install busybox-static'
    "$bb" mkdir -p d/e
    "$bb" echo hello | "$bb" tee d/f >/dev/null
    "$bb" cp d/f d/e/g
    "$bb" cmp d/f d/e/g
    "$bb" sed -i 's/hello/bye/' d/f
    same f "$(<d/f)" bye
    "$bb" tar cf t.tar d
    "$bb" mkdir x
    "$bb" tar xf t.tar -C x
    diff -r d x/d
    "$bb" sh -c 'for i in 1 2 3; do echo $i >> n; done; sort -r n > m; mv m n; ln -s n l; cat l' >out
    same out "$(tr '\n' ' ' <out)" '3 2 1 '
    "$bb" find . -name f | "$bb" grep -qx ./d/f
    "$bb" rm -r d
    [[ ! -e d ]]
}

"$1"
