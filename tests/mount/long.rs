// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files longer than an object, which no program notices: at the edges between objects
//! they do what a file of the host does, and whatever ends in between leaves them whole.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::AsFd as _,
        unix::fs::{FileExt as _, MetadataExt as _},
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use nix::{
    fcntl::{FallocateFlags, copy_file_range, fallocate},
    sys::signal::{Signal, kill},
};
use twz::{MAX_DATA as EDGE, joined::MAX_LENGTH};

use crate::place::{Home, Place, end, errno, has, homes, image, mountable};

/// Runs a test on each kind of pool, which has the same objects afterwards, and is whole.
fn everywhere(test: &str, act: impl Fn(&Place)) {
    if !mountable(test) {
        return;
    }
    for &home in homes() {
        let place = Place::mounted(home);
        place.unmount();
        let before = objects(&place);
        place.mount();
        act(&place);
        place.unmount();
        assert_eq!(objects(&place), before, "on {home:?}");
        place.check();
    }
}

/// How many objects there are, parts too.
fn objects(place: &Place) -> usize {
    place.twz(&["ls", "--all", "--json"]).matches("\"id\"").count()
}

fn open(path: &Path) -> File {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).open(path).expect("it opens")
}

fn read(file: &File, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![7; len];
    file.read_exact_at(&mut bytes, at).expect("read");
    bytes
}

#[test]
fn programs_do_not_notice() {
    let test = "long::programs_do_not_notice";
    if !has(test, &["dd", "cmp", "truncate", "cp", "tail", "head", "python3"]) {
        return;
    }
    // The virtual machine's writes all of a hole, and a gibibyte of them is more than its pool.
    let cp = Command::new("sh").args(["-c", "cp --version"]).output().expect("sh runs");
    if !String::from_utf8_lossy(&cp.stdout).contains("coreutils") {
        return twz_tests::skip(test, "cp is not that of coreutils");
    }
    everywhere(test, |place| {
        let home = place.home;
        let script = format!(
            r#"
            edge={EDGE} size=$((2 * {EDGE} + 1048576))
            around() {{ cmp -i $((edge - 1600000)) -n 3200000 "$1" "$2"; }}
            truncate -s $size big
            [ "$(stat -c %s big)" = $size ]
            head -c 3000000 /dev/urandom >../bytes
            dd if=../bytes of=big bs=64k seek=$((edge - 1500000)) oflag=seek_bytes conv=notrunc 2>/dev/null
            dd if=big bs=64k skip=$((edge - 1500000)) iflag=skip_bytes,count_bytes count=3000000 2>/dev/null |
                cmp - ../bytes
            sync big
            [ "$(stat -c %b big)" -lt 20000 ]
            cp big copy
            cp --sparse=always big sparse
            around big copy && around big sparse
            sync copy sparse
            [ "$(stat -c %b copy)" -lt 20000 ] && [ "$(stat -c %b sparse)" -lt 20000 ]
            echo end >>big && sync big
            [ "$(tail -c 4 big)" = end ] && [ "$(stat -c %s big)" = $((size + 4)) ]
            python3 - <<'PYTHON'
import os
big, ranged = os.open("big", os.O_RDONLY), os.open("ranged", os.O_RDWR | os.O_CREAT)
while os.copy_file_range(big, ranged, 1 << 30): pass
PYTHON
            [ "$(stat -c %s ranged)" = $((size + 4)) ]
            # The host's file systems do not all keep holes there.
            [ {home:?} = Directory ] || [ "$(stat -c %b ranged)" -lt 20000 ]
            around big ranged && rm ranged
            python3 - <<'PYTHON'
import mmap, os
edge = {EDGE}
with open("copy", "r+b") as file, mmap.mmap(file.fileno(), edge + 4096 * 4) as all:
    here = all[edge - 5000:edge + 5000]
    all[edge - 3:edge + 3] = b"mapped"
    all.flush()
    assert os.pread(file.fileno(), 6, edge - 3) == b"mapped"
    all[edge - 5000:edge + 5000] = here
    all.flush()
PYTHON
            mkdir dir && mv copy dir/moved && ln dir/moved link
            around big dir/moved
            truncate -s $((edge + 1)) link && [ "$(stat -c %s dir/moved)" = $((edge + 1)) ]
            rm -r dir && cmp -n 1600001 -i $((edge - 1600000)) big link
            # Short enough to be copied at once.
            cp link shared && cmp -i $((edge - 1600000)) link shared && rm shared
            mv sparse link && [ "$(stat -c %s link)" = $size ]
            rm big link && [ -z "$(ls -A)" ]
            "#
        );
        place.shell(&script);
    });
}

/// Numbers that differ enough (xorshift64*).
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % end
    }

    /// A place near an edge.
    fn place(&mut self) -> u64 {
        let edge = self.below(5) * EDGE;
        match self.below(4) {
            0 => edge,
            1 => edge + self.below(9),
            2 => (edge + self.below(8)).saturating_sub(8),
            _ => (edge + self.below(2 * REACH)).saturating_sub(REACH),
        }
    }
}

/// How far from an edge anything is done.
const REACH: u64 = 40_000;

/// Does one thing to a file, of which `rng` says what.
fn act(file: &File, rng: &mut Rng) -> io::Result<u64> {
    let (what, at, len) = (rng.below(10), rng.place(), 1 + rng.below(REACH));
    let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    match what {
        0..4 => {
            let byte = 1 + rng.below(255) as u8;
            file.write_all_at(&vec![byte; len as usize], at).map(|()| len)
        }
        4 | 5 => file.set_len(at).map(|()| at),
        6 => Ok(fallocate(file.as_fd(), punch, at as i64, len as i64).map(|()| 0)?),
        7 => {
            // Room for bytes of which some may be there.
            let none = FallocateFlags::empty();
            Ok(fallocate(file.as_fd(), none, at as i64, len as i64).map(|()| 0)?)
        }
        8 => {
            let (mut from, mut to) = (rng.place() as i64, at as i64);
            if (from - to).unsigned_abs() < len {
                return Ok(0);
            }
            let copied = copy_file_range(file, Some(&mut from), file, Some(&mut to), len as usize);
            Ok(copied? as u64)
        }
        _ => file.sync_all().map(|()| 0),
    }
}

#[track_caller]
fn agree(file: &File, host: &File, step: &str) {
    let length = host.metadata().expect("stat").len();
    assert_eq!(file.metadata().expect("stat").len(), length, "length after {step}");
    for edge in 0..6 {
        let from = (edge * EDGE).saturating_sub(2 * REACH);
        let len = length.saturating_sub(from).min(4 * REACH) as usize;
        let (here, there) = (read(file, from, len), read(host, from, len));
        let differs = here.iter().zip(&there).position(|(a, b)| a != b);
        assert_eq!(differs.map(|at| from + at as u64), None, "bytes after {step}");
    }
}

#[test]
fn edges_are_nowhere() {
    everywhere("long::edges_are_nowhere", |place| {
        // The machine is emulated.
        let seeds = if place.home == Home::Kernel { 1 } else { 2 };
        for seed in 1..=seeds {
            let host = open(&place.beside("host"));
            let mut file = open(&place.at("file"));
            let (mut one, mut other) = (Rng(seed), Rng(seed));
            for n in 0..120 {
                let (did, would) = (act(&file, &mut one), act(&host, &mut other));
                let error = |result: &io::Result<u64>| match result {
                    Ok(done) => Ok(*done),
                    Err(error) => Err(error.raw_os_error()),
                };
                let step = format!("step {n} of {seed} on {:?}: {did:?}", place.home);
                assert_eq!(error(&did), error(&would), "{step}");
                agree(&file, &host, &step);
                if n % 40 == 39 {
                    // Nothing but the pool remembers.
                    drop(file);
                    place.again();
                    file = open(&place.at("file"));
                    agree(&file, &host, "a new mount");
                }
            }
            drop(file);
            fs::remove_file(place.at("file")).expect("removed");
            fs::remove_file(place.beside("host")).expect("removed");
        }
    });
}

#[test]
fn an_open_long_file_lives_on_without_a_name() {
    everywhere("long::an_open_long_file_lives_on_without_a_name", |place| {
        let file = open(&place.at("file"));
        file.set_len(2 * EDGE).expect("longer");
        fs::remove_file(place.at("file")).expect("removed");
        file.write_all_at(b"over", 2 * EDGE - 2).expect("written");
        assert_eq!(read(&file, 2 * EDGE - 3, 5), b"\0over");
        let stat = file.metadata().expect("stat");
        assert_eq!((stat.len(), stat.nlink()), (2 * EDGE + 2, 0));
    });
}

#[test]
fn there_is_a_longest_file_and_a_full_pool() {
    everywhere("long::there_is_a_longest_file_and_a_full_pool", |place| {
        let file = open(&place.at("file"));
        file.write_all_at(b"start", 0).expect("written");
        if place.home != Home::Directory {
            assert_eq!(errno(file.set_len(MAX_LENGTH + 1)), libc::EFBIG);
            // What the kernel caches is refused when it is written.
            let other = open(&place.at("other"));
            let written = other.write_all_at(b"12", MAX_LENGTH - 1);
            assert_eq!(errno(written.and_then(|()| other.sync_all())), libc::EFBIG);
            drop(other);
            fs::remove_file(place.at("other")).expect("removed");
        }
        if place.home == Home::Image {
            let room = fallocate(file.as_fd(), FallocateFlags::empty(), 0, 3 * EDGE as i64);
            assert_eq!(room, Err(nix::errno::Errno::ENOSPC));
        }
        assert_eq!(file.metadata().expect("stat").len(), 5);
        file.set_len(MAX_LENGTH).expect("as long as can be");
        file.write_all_at(b"!", MAX_LENGTH - 1).expect("written");
        assert_eq!(read(&file, MAX_LENGTH - 2, 2), b"\0!");
        file.set_len(5).expect("short again");
        assert_eq!(read(&file, 0, 5), b"start");
        drop(file);
        fs::remove_file(place.at("file")).expect("removed");
    });
}

#[test]
fn twz_says_what_a_long_file_is() {
    everywhere("long::twz_says_what_a_long_file_is", |place| {
        if place.home == Home::Directory {
            return;
        }
        let length = 2 * EDGE + 3;
        let file = open(&place.at("file"));
        file.set_len(length).expect("longer");
        file.write_all_at(b"edge", EDGE - 2).expect("written");
        file.write_all_at(b"end", length - 3).expect("written");
        drop(file);
        place.unmount();
        let info = place.twz(&["info", "/file"]);
        assert!(info.contains(&format!("({length} bytes), with the parts")), "{info}");
        let parts: Vec<_> = info.lines().skip_while(|line| !line.starts_with("parts")).collect();
        let parts: Vec<_> =
            parts.iter().filter_map(|line| line.split_whitespace().last()).collect();
        assert!(place.twz(&["info", parts[1]]).contains("part\n"), "{info}");
        let said: serde_json::Value =
            serde_json::from_str(&place.twz(&["info", "/file", "--json"])).expect("a document");
        assert_eq!(said["length"].as_u64(), Some(length), "{said}");
        assert!(
            !place.twz(&["ls"]).contains(parts[0]) && place.twz(&["ls", "-a"]).contains(parts[0])
        );
        let cat = |object: &str, at: u64| {
            place.twz(&["cat", object, "--offset", &at.to_string(), "--length", "4"])
        };
        assert_eq!(
            (cat("/file", EDGE - 2), cat("/file", length - 3)),
            ("edge".into(), "end".into())
        );
        let out = place.beside("out");
        let (code, said) = place.refused(&["export", "/file", out.to_str().expect("UTF-8")]);
        assert!(code != 0 && said.contains("longer than an object"), "{said}");
        place.twz(&["cp", "/file", "--name", "/copy"]);
        assert_eq!(
            (cat("/copy", EDGE - 2), cat("/copy", length - 3)),
            ("edge".into(), "end".into())
        );
        place.twz(&["resize", "/copy", "10"]);
        place.check();
        place.twz(&["rm", "--force", "/copy"]);
        place.mount();
        assert_eq!(read(&open(&place.at("file")), length - 3, 3), b"end");
        fs::remove_file(place.at("file")).expect("removed");
    });
}

#[test]
fn a_part_that_nobody_names_is_told() {
    let Some(place) = image("long::a_part_that_nobody_names_is_told") else { return };
    open(&place.at("file")).set_len(3 * EDGE).expect("longer");
    place.unmount();
    place.check();
    // Without the library, as whoever knows nothing of files would.
    let pool = twz::ImagePool::open(&place.beside("pool"), false).expect("opened");
    let twz::Binding::Object(id) = twz::Backend::lookup(&pool, "file").expect("found") else {
        panic!("it is a file");
    };
    twz::Backend::unbind(&pool, "file").expect("unbound");
    twz::Backend::delete(&pool, id).expect("deleted");
    drop(pool);
    let output = place.command(&["pool", "check"]).output().expect("twz runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("part of a file") && said.contains("0 errors and 2 warnings"), "{said}");
}

/// All of it goes into another image; a directory, where programs would find it cut off,
/// does not take it.
#[test]
fn a_copied_pool_has_all_of_a_file() {
    let test = "long::a_copied_pool_has_all_of_a_file";
    let Some(place) = image(test) else { return };
    let file = open(&place.at("file"));
    file.set_len(EDGE + 9).expect("longer");
    file.write_all_at(b"edge", EDGE - 2).expect("written");
    drop(file);
    place.unmount();
    let pool = |name: &str| place.beside(name).to_str().expect("UTF-8").to_owned();
    let (from, image, directory) = (pool("pool"), pool("image"), pool("directory"));
    let (code, said) = place.refused(&["pool", "copy", &from, &directory]);
    assert!(code != 0 && said.contains("longer than an object"), "{said}");
    place.twz(&["pool", "copy", "--image", &from, &image]);
    let at = (EDGE - 2).to_string();
    let cat = ["--pool", &image, "cat", "/file", "--offset", &at];
    let output = Command::new(place.command(&[]).get_program()).args(cat).output();
    let bytes = output.expect("twz runs").stdout;
    assert_eq!(bytes, b"edge\0\0\0\0\0\0\0");
}

/// A file of many objects is removed, the daemon is killed at any time, and all of the
/// file is gone, or all of it is there: no part without a file.
#[test]
fn a_killed_daemon_leaves_no_parts() {
    let test = "long::a_killed_daemon_leaves_no_parts";
    let Some(place) = image(test).filter(|_| has(test, &["rm"])) else { return };
    place.unmount();
    let (before, mut gone) = (objects(&place), 0);
    for round in 0..12u64 {
        place.mount();
        open(&place.at("file")).set_len(MAX_LENGTH).expect("longer");
        // It answers nothing while it deletes.
        let server = place.server();
        let mut busy = Command::new("rm");
        let mut busy = busy.arg("file").current_dir(place.dir()).spawn().expect("rm runs");
        std::thread::sleep(Duration::from_micros(1_000 + 1_500 * round));
        end(server, Signal::SIGKILL);
        busy.wait().expect("it ends");
        place.twz(&["umount", "--lazy", place.dir().to_str().expect("UTF-8")]);
        place.check_unfinished();
        place.mount();
        match fs::metadata(place.at("file")) {
            Ok(stat) => {
                assert_eq!(stat.len(), MAX_LENGTH);
                fs::remove_file(place.at("file")).expect("removed");
            }
            Err(_) => gone += 1,
        }
        place.unmount();
        place.check();
        assert_eq!(objects(&place), before, "after round {round}");
    }
    assert!(gone > 0, "none was ever removed");
}

/// A program makes a file longer and shorter, the daemon is killed at any time, and the
/// file is as long as it was once made; nothing is left of it when it is removed.
#[test]
fn a_killed_daemon_leaves_a_length_that_was() {
    let test = "long::a_killed_daemon_leaves_a_length_that_was";
    if !mountable(test) || !has(test, &["truncate"]) {
        return;
    }
    for &home in homes() {
        let mut lengths = Vec::new();
        for round in 0..10u64 {
            let place = Place::mounted(home);
            fs::write(place.at("first"), "").expect("made");
            place.unmount();
            let before = objects(&place);
            place.mount();
            let sizes = [10, 3 * EDGE, EDGE, 5 * EDGE + 7, EDGE + 1];
            let words: Vec<String> = sizes.iter().map(u64::to_string).collect();
            let script = format!(
                "while :; do for n in {}; do truncate -s $n file; echo x >>other; done; rm file; done",
                words.join(" ")
            );
            let server = place.server();
            let mut busy = Command::new("sh");
            busy.args(["-c", &script]).current_dir(place.dir());
            busy.stdin(Stdio::null()).stderr(Stdio::null());
            let mut busy = busy.spawn().expect("sh runs");
            while !place.at("other").exists() {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_micros(7_300 * round));
            end(server, Signal::SIGKILL);
            kill(nix::unistd::Pid::from_raw(busy.id() as i32), Signal::SIGKILL).expect("killed");
            busy.wait().expect("it ends");
            place.twz(&["umount", "--lazy", place.dir().to_str().expect("UTF-8")]);
            place.check_unfinished();
            place.mount();
            if let Ok(stat) = fs::metadata(place.at("file")) {
                let length = stat.len();
                assert!(length == 0 || sizes.contains(&length), "{length} on {home:?}");
                lengths.push(length);
                fs::remove_file(place.at("file")).expect("removed");
            }
            fs::remove_file(place.at("other")).expect("removed");
            place.unmount();
            place.check();
            // What was being made when the daemon was killed may be left without a name.
            let left = objects(&place) - before;
            assert!(left <= 1, "{left} objects are left on {home:?}");
        }
        lengths.sort_unstable();
        lengths.dedup();
        assert!(lengths.len() > 1, "always {lengths:?}");
    }
}
