#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Programs in languages whose runtimes go about files in ways of their own: Lua by C's
# streams, Go without libc, JavaScript by a pool of threads, Rust's cargo by many of all.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/shared.sh"

full_lua() {
    lines 3000 >f
    lua5.4 - <<'END'
local seen = 0
for line in io.lines("f") do seen = seen + 1; assert(line:find("^line " .. seen .. " ")) end
assert(seen == 3000)
local h = assert(io.open("g", "w+b"))
for _, mode in ipairs { "no", "full", "line" } do
    assert(h:setvbuf(mode, 4096))
    for i = 1, 500 do assert(h:write(mode, " ", i, "\n")) end
end
local size = assert(h:seek("cur"))
assert(h:seek("set", 0) == 0 and h:read("l") == "no 1" and h:seek("end") == size)
assert(h:seek("set", 3) == 3 and h:write("X") and h:seek("set", 0) == 0 and h:read("l") == "no X")
assert(#h:read("a") == size - 5 and h:read("a") == "" and h:read("l") == nil and h:close())
local a = assert(io.open("g", "a"))
assert(a:write("last\n") and a:close())
local r = assert(io.open("g", "rb"))
assert(r:seek("end", -5) and r:read("n") == nil and r:seek("end", -5) and r:read("a") == "last\n" and r:close())
local t = io.tmpfile()
assert(t:write(("x"):rep(100000)) and t:seek("set", 99999) and t:read(5) == "x" and t:close())
assert(os.rename("g", "h") and not io.open("g") and os.remove("h") and not os.remove("h"))
local p = io.popen("wc -l <f")
assert(p:read("n") == 3000 and p:close())
END
    same left "$(ls)" f
}

full_go_static() {
    # The runtime makes its own system calls, and there is no libc to interpose on.
    program=$(command -v go-md2man)
    ! readelf -l "$program" | has INTERP || die 'this one is not static'
    printf '%% thing 1\n# NAME\nthing - does *something*\n# OPTIONS\n' >in.md
    for i in $(seq 2000); do printf '**--option%d**\n  What it does, %d times.\n\n' "$i" "$i"; done >>in.md
    "$program" -in in.md -out out.1
    "$program" <in.md >through.1
    cmp out.1 through.1
    same options "$(grep -c 'option[0-9]' out.1)" 2000
    "$program" -in out.1 -out out.1.1
    "$program" -in in.md -out out.1
    cmp out.1 through.1
}

full_go_restic() {
    export RESTIC_PASSWORD=secret XDG_CACHE_HOME=$PWD/cache
    tree t
    truncate -s 3M t/hole
    lines 100000 >t/big
    restic -q -r repo init
    restic -q -r repo backup t
    echo more >>t/big
    rm t/a/1
    restic -q -r repo backup t
    restic -q -r repo check --read-data
    restic -q -r repo restore latest --target x
    diff -r --no-dereference t "x/t"
    same 'the time of a copy' "$(stat -c %Y x/t/a/4097)" "$(stat -c %Y t/a/4097)"
    restic -q -r repo forget --keep-last 1 --prune
    restic -q -r repo check
    same snapshots "$(restic -r repo snapshots --json | grep -o short_id | wc -l)" 1
}

full_node() {
    node - <<'END'
const fs = require('fs'), path = require('path'), assert = require('assert');
const { pipeline } = require('stream/promises');
const zlib = require('zlib');
(async () => {
    fs.mkdirSync('d/e', { recursive: true });
    fs.writeFileSync('d/e/f', JSON.stringify([...Array(2000).keys()]));
    assert.equal(JSON.parse(fs.readFileSync('d/e/f'))[1999], 1999);
    // Sixty-four at once, by threads.
    await Promise.all([...Array(64).keys()].map(async (n) => {
        const name = `d/n${n}`;
        await fs.promises.writeFile(name, 'x'.repeat(n * 100));
        await fs.promises.appendFile(name, 'end');
        assert.equal((await fs.promises.readFile(name)).length, n * 100 + 3);
        if (n % 2) await fs.promises.unlink(name);
    }));
    assert.equal(fs.readdirSync('d').length, 33);
    const big = await fs.promises.open('big', 'w+');
    for (let i = 0; i < 50; i++) await big.write(Buffer.alloc(10000, i), 0, 10000, i * 10000);
    const { buffer } = await big.read(Buffer.alloc(2), 0, 2, 99999);
    assert.deepEqual([...buffer], [9, 10]);
    await big.truncate(123456); await big.sync();
    assert.equal((await big.stat()).size, 123456);
    await big.close();
    await pipeline(fs.createReadStream('big'), zlib.createGzip(), fs.createWriteStream('big.gz'));
    await pipeline(fs.createReadStream('big.gz'), zlib.createGunzip(), fs.createWriteStream('big2'));
    assert(fs.readFileSync('big').equals(fs.readFileSync('big2')));
    fs.copyFileSync('big', 'copy'); fs.renameSync('copy', 'd/copy'); fs.symlinkSync('d/copy', 'l');
    assert.equal(fs.realpathSync('l'), path.resolve('d/copy'));
    fs.utimesSync('big', 1, 2); assert.equal(fs.statSync('big').mtimeMs, 2000);
    assert.throws(() => fs.openSync('big', 'wx'), { code: 'EEXIST' });
    const seen = new Promise((resolve) => {
        const watcher = fs.watch('d', (_, name) => { if (name === 'late') { watcher.close(); resolve(); } });
    });
    fs.writeFileSync('d/late', ''); await seen;
    fs.rmSync('d', { recursive: true }); assert(!fs.existsSync('d'));
})().catch((error) => { console.error(error); process.exit(1); });
END
}

full_cargo() {
    # The toolchain that builds this project; nothing is fetched.
    export PATH=$TOOLS/rust/bin:$PATH CARGO_HOME=$PWD/home
    cargo new -q --vcs none --lib part
    cargo new -q --vcs none app
    echo 'part = { path = "../part" }' >>app/Cargo.toml
    printf 'pub fn twice(n: u32) -> u32 { n * 2 }\n#[test]\nfn it() { assert_eq!(twice(2), 4); }\n' >part/src/lib.rs
    echo 'fn main() { println!("{}", part::twice(21)); }' >app/src/main.rs
    cd app
    cargo build -q --offline
    same output "$(target/debug/app)" 42
    fresh() { cargo build --offline --message-format json 2>/dev/null | grep -c '"fresh":true'; }
    same 'nothing to do' "$(fresh)" 2
    # Times tell what is to be made again, and what is not.
    sed -i 's/n \* 2/n * 3/' ../part/src/lib.rs
    cargo build -q --offline
    same output "$(target/debug/app)" 63
    cargo build -q --offline --release
    same output "$(target/release/app)" 63
    sed -i 's/4);/6);/' ../part/src/lib.rs
    (cd ../part && cargo test -q --offline >/dev/null)
    cargo clean -q 2>/dev/null
    [[ ! -e target ]]
}

"$1"
