// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs of every day, unmodified, with their files in a pool.

use crate::place::{Place, has, homes, mountable};

/// Runs a script on each kind of pool, which is whole afterwards.
fn everywhere(test: &str, programs: &[&str], script: &str) {
    if !mountable(test) || !has(test, programs) {
        return;
    }
    for &home in homes() {
        let place = Place::mounted(home);
        place.shell(script);
        place.unmount();
        place.check();
    }
}

#[test]
fn coreutils() {
    let test = "programs::coreutils";
    everywhere(
        test,
        &["cp", "mv", "ln", "cmp", "dd", "find"],
        r#"
        mkdir -p a/b/c
        echo hello >a/b/c/one
        cp -r a d && cmp a/b/c/one d/b/c/one
        mv d e && [ ! -e d ] && [ "$(cat e/b/c/one)" = hello ]
        ln a/b/c/one hard && ln -s a/b/c/one soft && [ "$(cat hard soft)" = "hello
hello" ]
        echo more >>hard && tail -n 1 a/b/c/one | grep -qx more
        dd if=/dev/urandom of=big bs=64k count=40 2>/dev/null
        cp big copy && cmp big copy
        dd if=big of=copy bs=4096 seek=3 skip=7 count=5 conv=notrunc 2>/dev/null
        [ "$(stat -c %s copy)" = 2621440 ]
        [ "$(find . -type f | wc -l)" = 5 ]
        chmod 640 big && [ "$(stat -c %a big)" = 640 ]
        touch -d '2001-02-03 04:05:06 UTC' big && [ "$(stat -c %Y big)" = 981173106 ]
        rm -r a e && rm big copy hard soft && [ "$(ls -A | wc -l)" = 0 ]
        "#,
    );
}

#[test]
fn git() {
    everywhere(
        "programs::git",
        &["git"],
        r#"
        # Nothing is to go on in the background.
        git config --global gc.auto 0 && git config --global maintenance.auto false
        git init -q one && cd one
        for n in 1 2 3 4 5 6; do
            mkdir -p dir$n && echo $n >dir$n/file && git add . && git commit -q -m "change $n"
        done
        git mv dir1 moved && git commit -q -m moved
        git gc -q && git fsck --strict
        git clone -q . ../two && cd ../two
        [ "$(git log --oneline | wc -l)" = 7 ] && [ -z "$(git status --porcelain)" ]
        git checkout -q -b side HEAD~3 && echo x >dir2/file && git commit -q -a -m side
        git merge -q -m merge origin/HEAD && [ "$(cat dir2/file)" = x ]
        "#,
    );
}

#[test]
fn sqlite() {
    everywhere(
        "programs::sqlite",
        &["sqlite3"],
        r#"
        for mode in delete wal truncate; do
            sqlite3 $mode.db "pragma journal_mode=$mode; create table t(a primary key, b);
                with recursive n(x) as (select 1 union all select x+1 from n where x<3000)
                insert into t select x, x*x from n;" >/dev/null
            sqlite3 $mode.db "begin; delete from t where a % 3 = 0; rollback;
                delete from t where a % 2 = 0; vacuum;"
            [ "$(sqlite3 $mode.db 'select count(*), max(b) from t; pragma integrity_check')" = "1500|8994001
ok" ]
        done
        "#,
    );
}

#[test]
fn tar_and_gzip() {
    everywhere(
        "programs::tar_and_gzip",
        &["tar", "gzip", "diff"],
        r#"
        mkdir -p from/a/b && seq 20000 >from/a/b/numbers && ln from/a/b/numbers from/hard
        ln -s a/b from/soft && mkfifo from/pipe && chmod 4755 from/hard && chown 7:8 from/a/b/numbers
        touch -d @1000000000 from/a
        tar cf one.tar from && gzip -k one.tar && gzip -cd one.tar.gz | cmp - one.tar
        mkdir to && tar xpf one.tar -C to
        [ -p to/from/pipe ] && rm from/pipe to/from/pipe && diff -r from to/from
        [ "$(stat -c '%u %g %h' to/from/hard)" = "7 8 2" ]
        # busybox leaves a directory the time at which it was filled.
        ! tar --version | grep -q GNU || [ "$(stat -c %Y to/from/a)" = 1000000000 ]
        "#,
    );
}

#[test]
fn gcc() {
    everywhere(
        "programs::gcc",
        &["gcc", "make"],
        r#"
        printf '#include <stdio.h>\nint answer(void);\nint main(void) { printf("%%d\\n", answer()); }\n' >main.c
        printf 'int answer(void) { return 42; }\n' >answer.c
        printf 'answer: main.o answer.o\n\t$(CC) -o $@ $^\n' >Makefile
        make -s && [ "$(./answer)" = 42 ]
        make -q
        sleep 1.1 && printf 'int answer(void) { return 43; }\n' >answer.c && make -s && [ "$(./answer)" = 43 ]
        "#,
    );
}

#[test]
fn rsync() {
    everywhere(
        "programs::rsync",
        &["rsync"],
        r#"
        mkdir -p from/deep && seq 5000 >from/deep/a && ln -s deep/a from/l && echo b >from/b
        rsync -aH from/ to/ && [ -z "$(rsync -aHni from/ to/)" ]
        echo changed >from/b && rsync -a --delete from/ to/ && [ "$(cat to/b)" = changed ]
        "#,
    );
}

#[test]
fn python() {
    everywhere(
        "programs::python",
        &["python3"],
        r#"
        python3 - <<'PROGRAM'
import fcntl, mmap, multiprocessing, os, tempfile
# Memory that is mapped is the file.
with open("mapped", "w+b") as f:
    f.truncate(20000)
    m = mmap.mmap(f.fileno(), 20000)
    m[9000:9005] = b"hello"
    m.flush()
    f.seek(9000)
    assert f.read(5) == b"hello"
    f.seek(100)
    f.write(b"there")
    f.flush()
    assert m[100:105] == b"there"
# Appends of several processes are whole, under a lock and without.
def append(n):
    with open("log", "ab", buffering=0) as f:
        for i in range(100):
            f.write(b"%d:%04d\n" % (n, i))
workers = [multiprocessing.Process(target=append, args=(n,)) for n in range(4)]
[w.start() for w in workers]
[w.join() for w in workers]
lines = open("log", "rb").read().split(b"\n")
assert len(lines) == 401 and all(len(l) == 6 for l in lines[:-1]), len(lines)
# A lock that one has another waits for.
a = os.open("lock", os.O_RDWR | os.O_CREAT)
b = os.open("lock", os.O_RDWR)
fcntl.flock(a, fcntl.LOCK_EX)
try:
    fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    raise SystemExit("two have one lock")
except BlockingIOError:
    pass
with tempfile.TemporaryDirectory(dir=".") as d:
    for n in range(300):
        open(os.path.join(d, "file%d" % n), "w").write(str(n))
    assert sorted(os.listdir(d)) == sorted("file%d" % n for n in range(300))
PROGRAM
        "#,
    );
}
