#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# What reads and writes text: grep to vim, and two languages.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/shared.sh"

quick_grep() {
    tree t
    same matches "$(grep -rc 'line 7 ' t | grep -c ':1$')" 5
    same 'in one' "$(grep -c . t/a/b/notes.txt)" 50
    grep -q 'int main' t/a/b/c/main.c
    ! grep -rq 'no such text' t || die 'it went well: grep -rq "no such text" t'
    grep -rl 'return 0' t | has -x t/a/b/c/main.c
}

quick_sed() {
    lines 1000 >f
    chmod 640 f
    sed -i 's/some text/other text/; 500d' f
    same lines "$(wc -l <f)" 999
    same changed "$(grep -c 'other text' f)" 999
    same 'its mode' "$(stat -c %a f)" 640
    sed -i.bak '1,10d' f
    same lines "$(wc -l <f)" 989
    same backup "$(wc -l <f.bak)" 999
    sed -n '/line 100 /w out' f
    same out "$(wc -l <out)" 1
}

quick_gawk() {
    lines 1000 >f
    gawk '{ print $2 > ("mod" $2 % 7); s += $2 } END { print s }' f >sum
    same sum "$(<sum)" 500500
    same split "$(cat mod? | sort -n | tail -n1)" 1000
    gawk -i inplace '{ $2 = "x"; print }' f
    same changed "$(grep -c '^line x ' f)" 1000
}

quick_perl() {
    lines 300 >f
    perl -i.bak -pe 's/line (\d+)/"line " . $1 * 2/e' f
    tail -n1 f | has 'line 600 '
    perl -e '
        use strict; use Fcntl qw(:flock SEEK_SET); use File::Path qw(make_path remove_tree); use File::Find; use File::Copy;
        open(my $h, "+<", "f") or die; flock($h, LOCK_EX) or die;
        seek($h, -5, 2) or die; read($h, my $end, 5) == 5 or die; $end =~ /\n$/ or die;
        seek($h, 0, SEEK_SET); print $h "LINE"; truncate($h, 100) or die; close $h;
        -s "f" == 100 or die; make_path("a/b/c"); copy("f", "a/b/c/g") or die;
        my @found; find(sub { push @found, $_ if -f }, "a"); "@found" eq "g" or die "@found";
        rename("a/b/c/g", "g") or die; remove_tree("a"); -d "a" and die; utime(1, 2, "g"); (stat "g")[9] == 2 or die'
}

quick_python() {
    /usr/bin/python3 - <<'END'
import json, os, pathlib, pickle, shutil, sqlite3, tempfile, zipfile
here = pathlib.Path()
(here / "d/e").mkdir(parents=True)
(here / "d/e/f.json").write_text(json.dumps({"a": list(range(1000))}))
assert json.loads((here / "d/e/f.json").read_text())["a"][-1] == 999
with open("p", "wb") as f: pickle.dump({i: str(i) for i in range(5000)}, f)
with open("p", "rb") as f: assert pickle.load(f)[4999] == "4999"
with open("rw", "w+b", buffering=0) as f:
    f.write(b"x" * 10000); f.seek(5000); f.write(b"y"); f.seek(4999); assert f.read(3) == b"xyx"
    f.truncate(6000)
assert os.stat("rw").st_size == 6000
shutil.copytree("d", "copy"); shutil.make_archive("z", "zip", "copy")
assert zipfile.ZipFile("z.zip").testzip() is None
shutil.rmtree("copy"); assert not os.path.exists("copy")
with tempfile.TemporaryDirectory(dir=".") as t: assert os.path.isdir(t)
os.replace("rw", "d/rw"); assert [e.name for e in os.scandir("d")] in (["e", "rw"], ["rw", "e"])
db = sqlite3.connect("db"); db.execute("create table t(x)"); db.executemany("insert into t values(?)", [(i,) for i in range(1000)])
db.commit(); assert db.execute("select sum(x) from t").fetchone() == (499500,)
END
}

quick_diff_and_patch() {
    mkdir old new
    lines 200 >old/f
    echo gone >old/g
    sed 's/line 100 /LINE 100 /; 50d' old/f >new/f
    lines 5 >new/h
    diff -Nur old new >p && die 'diff found nothing' || (($? == 1))
    patch -s -d old -p1 <p
    diff -r old new
    patch -s -R -d old -p1 <p
    same undone "$(<old/g)" gone
    [[ ! -e old/h ]]
    ! patch -s -d new -p1 --dry-run -f <p >/dev/null || die 'patched twice'
}

quick_vim() {
    lines 100 >f
    vim -u NONE -es -N +'set swapfile dir=.' +'%s/line \(\d\+\)/row \1/' +'10,20d' +'normal Goend' +wq f </dev/null || true
    same lines "$(wc -l <f)" 90
    same last "$(tail -n1 f)" end
    grep -q '^row 21 ' f
    vim -u NONE -es -N +'set backup backupskip= backupdir=. undofile undodir=.' +'1d' +w +'earlier 1f' +wq f </dev/null || true
    [[ -e f~ ]]
    head -n1 f | has '^row 1 '
}

quick_sort_external() {
    seq 200000 | shuf --random-source=<(yes) >f
    sort -n -S 1M -T . --parallel=2 f -o f
    seq 200000 | cmp - f
    join -j1 <(sort f) <(sort f) | wc -l | has -x 200000
}

"$1"
