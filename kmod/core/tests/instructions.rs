// SPDX-License-Identifier: GPL-2.0 OR MIT
//! How many instructions a fault's work takes, counted by callgrind in a run of
//! this test below valgrind, where that is there. Zeroing pages is not counted:
//! the medium's are zeros already. In a release build only:
//! `cargo test --release -p twz-core --test instructions -- --nocapture`.
#![cfg(not(debug_assertions))]

mod common;

use std::{hint::black_box, io::Write as _, process::Command};

use common::*;
use twz_core::{Media, MediaError, Memory, Mode, RecordNo, Store, Translation};

/// Pages that each case is about.
const PAGES: u64 = 4096;

/// Pages that are asked for at once.
const BATCH: u64 = 16;

/// The page that the cases begin at, behind those that the record maps.
const FIRST: u64 = 512;

/// A medium whose free pages are zeros.
struct Blank<'a>(Memory<'a>);

impl Media for Blank<'_> {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), MediaError> {
        self.0.read(at, into)
    }
    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MediaError> {
        self.0.write(at, from)
    }
    fn flush(&mut self, _at: u64, _len: u64) -> Result<(), MediaError> {
        Ok(())
    }
    fn fence(&mut self) -> Result<(), MediaError> {
        Ok(())
    }
    fn zero(&mut self, _at: u64, _len: u64) -> Result<(), MediaError> {
        Ok(())
    }
}

type S<'a> = Store<Blank<'a>>;

fn pages() -> impl Iterator<Item = u64> {
    FIRST..FIRST + PAGES
}

fn batches() -> impl Iterator<Item = u64> {
    pages().step_by(BATCH as usize)
}

#[inline(never)]
fn counted_touch(store: &mut S<'_>, r: RecordNo) {
    for page in pages() {
        black_box(store.touch(r, page, true)).unwrap();
    }
}

#[inline(never)]
fn counted_batch_touch(store: &mut S<'_>, r: RecordNo) {
    let mut out = [Translation::Hole; BATCH as usize];
    for page in batches() {
        let n = store.touch_into(r, page, true, black_box(&mut out)).unwrap();
        assert_eq!(n as u64, BATCH);
    }
}

#[inline(never)]
fn counted_stat(store: &mut S<'_>, r: RecordNo) {
    for _ in pages() {
        black_box(store.stat(r)).unwrap();
    }
}

#[inline(never)]
fn counted_translate(store: &mut S<'_>, r: RecordNo) {
    for page in pages() {
        black_box(store.translate(r, page)).unwrap();
    }
}

#[inline(never)]
fn counted_cached_translate(store: &mut S<'_>, r: RecordNo) {
    let record = store.stat(r).unwrap();
    for page in pages() {
        black_box(store.translate_in(black_box(&record), page)).unwrap();
    }
}

#[inline(never)]
fn counted_cached_batch_translate(store: &mut S<'_>, r: RecordNo) {
    let record = store.stat(r).unwrap();
    let mut out = [Translation::Hole; BATCH as usize];
    for page in batches() {
        let n = store.translate_many(black_box(&record), page, black_box(&mut out)).unwrap();
        assert_eq!(n as u64, BATCH);
    }
}

/// A case: its name, which is its function's, whether the pages are there
/// before, and what it does.
type Case = (&'static str, bool, fn(&mut S<'_>, RecordNo));

const CASES: [Case; 6] = [
    ("counted_touch", false, |s, r| counted_touch(s, r)),
    ("counted_batch_touch", false, |s, r| counted_batch_touch(s, r)),
    ("counted_stat", true, |s, r| counted_stat(s, r)),
    ("counted_translate", true, |s, r| counted_translate(s, r)),
    ("counted_cached_translate", true, |s, r| counted_cached_translate(s, r)),
    ("counted_cached_batch_translate", true, |s, r| counted_cached_batch_translate(s, r)),
];

/// What [`instructions_per_page`] runs below valgrind; alone it does nothing.
#[test]
fn child_case() {
    let Ok(name) = std::env::var("TWZ_COUNT") else { return };
    let (_, there, case) = CASES.into_iter().find(|case| case.0 == name).unwrap();
    let mut bytes = image(PAGES + 1000);
    let mut store = Store::open(Blank(Memory::new(&mut bytes)), Mode::ReadWrite).unwrap();
    let r = create(&mut store, 1, (FIRST + PAGES) * 4096);
    if there {
        for page in pages() {
            store.touch(r, page, true).unwrap();
        }
    }
    case(&mut store, r);
}

/// Instructions per page of a case, if valgrind can be run.
fn count(name: &str) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect=instructions::{name}"))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_case"])
        .env("TWZ_COUNT", name)
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let (_, counted) = said.lines().find_map(|line| line.split_once("Collected :"))?;
    Some(counted.trim().parse::<u64>().unwrap() / PAGES)
}

#[test]
fn instructions_per_page() {
    for (name, ..) in CASES {
        match count(name) {
            Some(n) => println!("{name}: {n} instructions per page"),
            None => return skip("instructions_per_page", "there is no valgrind here"),
        }
    }
}

/// Says in the file that `TWZ_SKIPS` names that a test could not be run, as the
/// tests of libtwz do; without that file it fails, so as never to count as passed.
fn skip(test: &str, why: &str) {
    let Some(path) = std::env::var_os("TWZ_SKIPS") else {
        panic!("{test}: {why}; set TWZ_SKIPS to a file that shall list such tests");
    };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    let noted = file.and_then(|mut file| writeln!(file, "{test}: {why}"));
    noted.expect("the file that TWZ_SKIPS names can be written");
}
