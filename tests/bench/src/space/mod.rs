// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bench `space`: what making, opening and looking up an object costs in a
//! pool of a million objects, against the same in a pool of a thousand, and how
//! long such a pool takes to open.
//!
//! One file per kind of home. `TWZ_BENCH_OBJECTS` sets another number than a
//! million; the cases keep their names.

mod directory;
mod home;
mod image;
mod store;

use home::Maker;

use crate::{error::Failed, machine, report::Record};

/// Objects of the small pool.
const FEW: usize = 1000;

/// The homes: a name, bytes of memory for each object, and what measures it.
const HOMES: [(&str, u64, Maker); 3] = [
    ("twz-store", 2048, store::measure),
    ("twz-image", 2048, image::measure),
    ("twz-embedded", 10 << 10, directory::measure),
];

/// Runs it.
pub fn run() -> Result<Vec<Record>, Failed> {
    let many = match std::env::var("TWZ_BENCH_OBJECTS") {
        Ok(text) => text.parse().map_err(|_| Failed::new("TWZ_BENCH_OBJECTS is not a number"))?,
        Err(_) => 1_000_000,
    };
    let mut records = Vec::new();
    for (name, each, measure) in HOMES {
        let (need, have) = (many as u64 * each, machine::available());
        if need > have {
            let mib = |bytes: u64| bytes >> 20;
            println!(
                "space: {name} left out: {many} objects want {} MiB of memory, {} are there \
                 (TWZ_BENCH_OBJECTS takes fewer)",
                mib(need),
                mib(have)
            );
            continue;
        }
        println!("space: {name}: {many} objects ...");
        records.extend(measure(name, many, FEW)?);
    }
    Ok(records)
}
