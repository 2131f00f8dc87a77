// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operations of the module for whoever watches its stores: each [`Case`] gets a
//! pool of its own, freshly loaded, and is told apart from the others by marks
//! (`twz_trace::mark`). Nothing is judged here: `tests/crash/src/foreign` reads the log.
//!
//! What is free in such a pool is full of bytes that are not zeros, so that what
//! was not made zeros, or not durably, shows.

mod cases;
mod stage;

use std::fs;

use stage::Stage;
use twz_abi::PAGE;
use twz_core::{
    Memory, Mode, Store,
    format::{FormatOptions, format},
    geometry::Geometry,
};
use twz_trace::mark::{Mark, Promise};

use crate::{image, module, options::Options, options::options, probe};

/// The store that a case begins with.
type Furnished<'a> = Store<Memory<'a>>;

/// What furnishes it.
type Furnish = fn(&mut Furnished<'_>) -> twz_core::Result<()>;

/// A part of a case.
type Step = fn(&mut Stage);

/// Something that is done to the module.
pub struct Case {
    /// The operation and, after a colon, what is special about it.
    name: &'static str,
    /// What may be seen after a cut.
    promise: Promise,
    /// Pages of its pool.
    pages: u64,
    /// What there is before the module is loaded.
    furnish: Furnish,
    /// What has been done before it begins.
    prepare: Step,
    /// What is done: all of it is cut. None is that the module is loaded.
    steps: &'static [Step],
}

/// Does every case, without what `--expect-broken` names where the module can.
pub fn run(_: &Options) -> bool {
    let only = options().only.as_deref().unwrap_or("");
    let lacks = options().expect_broken.as_deref();
    let cases: Vec<_> = cases::all().filter(|case| case.name.contains(only)).collect();
    println!("KTAP version 1\n1..{}", cases.len());
    let mut well = true;
    for (n, case) in cases.iter().enumerate() {
        let done = std::panic::catch_unwind(|| case.run(lacks));
        println!("{} {} {}", if done.is_ok() { "ok" } else { "not ok" }, n + 1, case.name);
        well &= done.is_ok();
        let _ = module::unload_soon();
    }
    well
}

impl Case {
    fn run(&self, lacks: Option<&str>) {
        let parameters = lacks.map_or(String::new(), |what| format!("weaken={what}"));
        let bytes = pool(self.pages, self.furnish);
        probe::say(Mark::Pool, medium());
        probe::say(Mark::Length, bytes.len() as u64);
        image::put(&bytes);
        let begin = || {
            let lacks = lacks.map_or(String::new(), |what| format!(" without {what}"));
            tell(&format!("{}{lacks}", self.name));
            probe::say(Mark::Begin, self.promise as u64);
        };
        if self.steps.is_empty() {
            begin();
            module::load_with(&parameters).expect("the module");
            probe::say(Mark::Done, 0);
            probe::say(Mark::End, 0);
        } else {
            module::load_with(&parameters).expect("the module");
            let mut stage = Stage::new();
            (self.prepare)(&mut stage);
            stage.settle();
            begin();
            for step in self.steps {
                step(&mut stage);
                probe::say(Mark::Done, 0);
            }
            // What goes with the session is no part of it.
            probe::say(Mark::End, 0);
        }
    }
}

/// A pool of `pages` with what `furnish` makes, and nothing free that is zeros.
fn pool(pages: u64, furnish: Furnish) -> Vec<u8> {
    let mut bytes = vec![0; (pages * PAGE) as usize];
    let small = FormatOptions { journal_pages: 8, records: Some(16), ..FormatOptions::plain() };
    let mut media = Memory::new(&mut bytes);
    format(&mut media, &small).expect("a pool");
    let geo = Geometry::load(&media).expect("a pool");
    let mut store = Store::open(media, Mode::ReadWrite).expect("the pool");
    furnish(&mut store).expect("what a case begins with");
    let is_used = |bytes: &[u8], page: u64| {
        bytes[(geo.bitmap_page * PAGE + page / 8) as usize] >> (page % 8) & 1 != 0
    };
    // Where a large page may come to be, a word for each few lines is enough.
    let every = if pages > 512 { 9 * 64 } else { 8 };
    for page in (geo.data_page..pages).filter(|&page| !is_used(&bytes, page)).collect::<Vec<_>>() {
        for at in (0..PAGE as usize).step_by(every) {
            bytes[(page * PAGE) as usize + at..][..8].copy_from_slice(&[0xa5; 8]);
        }
    }
    bytes
}

/// Where the device's first byte is in physical memory.
fn medium() -> u64 {
    let path = "/sys/block/pmem0/device/resource";
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let digits = text.trim().trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap_or_else(|e| panic!("{path}: {text}: {e}"))
}

/// Says a text, eight bytes at a time.
fn tell(text: &str) {
    for chunk in text.as_bytes().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        probe::say(Mark::Text, u64::from_le_bytes(word));
    }
}
