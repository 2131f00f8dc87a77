# SPDX-License-Identifier: MIT OR Apache-2.0
# What the scripts of this folder share; each begins by reading it, and ends by
# calling the function it is told to. The current directory is the one under test,
# empty; $ASIDE is a place that is not, for logs and sockets.
set -euo pipefail

# die WHY...
die() {
    echo "$*" >&2
    exit 1
}

# same WHAT IS WANTED
same() { [[ $2 == "$3" ]] || die "$1 is '$2' and should be '$3'"; }

# has PATTERN: whether its input does. It reads all of that: who pipes to `grep -q` is killed
# by SIGPIPE when it finds something soon enough, and fails then.
has() { grep "$@" >/dev/null; }

# lines COUNT: that many different lines.
lines() { seq -f 'line %.0f of some text that is compared afterwards' "$1"; }

# tree DIR: directories, files of many sizes, links, modes and times.
tree() {
    mkdir -p "$1/a/b/c" "$1/empty"
    local size
    for size in 0 1 100 4095 4096 4097 70000; do
        head -c "$size" <(lines 2000) >"$1/a/$size"
    done
    lines 50 >"$1/a/b/notes.txt"
    printf 'int main(void) { return 0; }\n' >"$1/a/b/c/main.c"
    ln -s ../a/b/notes.txt "$1/a/link"
    ln "$1/a/100" "$1/a/b/hard"
    ln -s nowhere "$1/a/dangling"
    chmod 750 "$1/a/b"
    chmod 600 "$1/a/4096"
    chmod 755 "$1/a/1"
    touch -d '2001-02-03 04:05:06' "$1/a/4097"
}

# until_true COMMAND...: waits for what another process does; a hang is noticed outside.
until_true() { until "$@"; do sleep 0.05; done; }
