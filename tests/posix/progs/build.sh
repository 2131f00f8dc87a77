#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# What programmers run: make, a compiler, git.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/shared.sh"

# project: three sources, a library and a Makefile that follows headers.
project() {
    mkdir src
    echo 'int twice(int);' >src/twice.h
    printf '#include "twice.h"\nint twice(int n) { return 2 * n; }\n' >src/twice.c
    printf '#include <stdio.h>\n#include "twice.h"\nint main(void) { printf("%%d\\n", twice(21)); return 0; }\n' >src/main.c
    cat >Makefile <<'END'
CFLAGS = -O1 -Isrc -MMD
prog: src/main.o libtwice.a
	$(CC) -o $@ $^
libtwice.a: src/twice.o
	$(AR) rcs $@ $^
-include src/*.d
END
}

quick_make_and_gcc() {
    project
    make -s -j2
    same output "$(./prog)" 42
    make -q || die 'there is something left to make'
    # Times tell what is to be made again.
    sed -i 's/2 \* n/3 * n/' src/twice.c
    ! make -q || die 'the change went unnoticed'
    make -s
    same output "$(./prog)" 63
    touch src/twice.h
    make -n | grep -c -- ' -c ' | has -x 2
    strip prog
    ./prog >/dev/null
    objdump -d prog >/dev/null
    nm libtwice.a | has ' T twice'
}

quick_static_without_libc() {
    # System calls of its own: nothing that interposes on a library sees them.
    cat >raw.c <<'END'
static long call(long n, long a, long b, long c, long d) {
    long r; register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return r;
}
void _start(void) {
    char buffer[16];
    long fd = call(2, (long)"made", 0102, 0644, 0), bad = fd < 0;
    bad |= call(1, fd, (long)"raw bytes", 9, 0) != 9;
    bad |= call(17, fd, (long)buffer, 5, 4) != 5 || buffer[0] != 'b';
    bad |= call(77, fd, 3, 0, 0) != 0;
    bad |= call(82, (long)"made", (long)"renamed", 0, 0) != 0;
    call(60, bad, 0, 0, 0);
}
END
    gcc -O1 -nostdlib -static -fno-stack-protector -o raw raw.c
    ./raw
    same it "$(<renamed)" raw
    [[ ! -e made ]]
}

quick_git() {
    export GIT_CONFIG_NOSYSTEM=1
    git config --global user.name T
    git config --global user.email t@example.org
    git config --global init.defaultBranch main
    git config --global gc.auto 0
    git init -q repo
    cd repo
    for i in $(seq 12); do
        lines $((i * 20)) >"f$i"
        git add .
        git commit -qm "commit $i"
    done
    git checkout -qb side HEAD~3
    echo side >side
    git add side
    git commit -qm side
    git checkout -q main
    git merge -q side -m merge
    [[ -f side ]]
    echo dirty >>f1
    git stash -q
    git stash pop -q
    git diff --stat | has f1
    git checkout -q f1
    git tag v1
    git mv f2 g2
    git commit -qm move
    git log --follow --oneline g2 | has 'commit 2'
    git gc -q
    git fsck --strict 2>/dev/null
    git repack -adq
    same commits "$(git rev-list --count HEAD)" 15
    cd ..
    git clone -q repo clone
    cd clone
    git fsck 2>/dev/null
    same heads "$(git rev-parse HEAD)" "$(git -C ../repo rev-parse HEAD)"
    echo pushed >p
    git add p
    git commit -qm p
    git push -q origin HEAD:from-clone
    git -C ../repo rev-parse -q --verify from-clone >/dev/null
    git status --porcelain | wc -l | has -x 0
    git worktree add -q ../tree from-clone 2>/dev/null || git worktree add -q ../tree
}

full_git_many_files() {
    export GIT_CONFIG_NOSYSTEM=1
    git config --global user.name T
    git config --global user.email t@example.org
    git init -q repo
    cd repo
    for d in $(seq 40); do
        mkdir "d$d"
        for f in $(seq 50); do echo "$d $f" >"d$d/f$f"; done
    done
    git add .
    git commit -qm many
    git gc -q --aggressive --prune=now
    same files "$(git ls-files | wc -l)" 2000
    rm -r d1 d2
    git checkout -q .
    git status --porcelain | wc -l | has -x 0
    git clone -q --no-hardlinks . ../clone
    git -C ../clone fsck 2>/dev/null
    diff -r -x .git . ../clone
}

full_gcc_larger() {
    for i in $(seq 40); do
        printf '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint f%d(int n) { return printf("%%d", n) + %d; }\n' "$i" "$i" >"f$i.c"
    done
    printf 'OBJS := %s\nall: lib.so\nlib.so: $(OBJS)\n\t$(CC) -shared -o $@ $^\n%%.o: %%.c\n\t$(CC) -fPIC -O2 -g -c -o $@ $<\n' \
        "$(printf 'f%d.o ' $(seq 40))" >Makefile
    make -s -j2
    nm -D lib.so | grep -c ' T f' | has -x 40
    make -q
    gcc -c -save-temps f1.c
    [[ -s f1.i && -s f1.s ]]
    gcc -flto -shared -fPIC -o lto.so f?.c
}

"$1"
