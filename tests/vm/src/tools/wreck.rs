// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random calls while somebody writes over the pool: root can, whoever holds
//! the device. What comes of it is errors, never the kernel's end. The pool is
//! lost with this.

use std::{
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    sync::atomic::Ordering,
};

use super::{fuzz, report};
use crate::{
    module,
    options::{Options, options},
    process::{self, Shared},
    rng::{self, Rng},
    sys::Session,
};

/// A page as a device wants it: aligned.
#[repr(align(4096))]
struct Page([u8; 4096]);

/// Overwrites and calls.
pub fn run(options: &Options) -> bool {
    let seed = options.seed.unwrap_or_else(rng::seed);
    let count = options.count.unwrap_or(10_000);
    println!("# fuzz-pool --seed={seed} --count={count}");
    let pages = Session::open().info();
    let tables = pages.pages - pages.data_pages;
    let stop = Shared::new();
    let vandal = process::fork(|| vandalize(seed, tables, &stop));
    // What the calls find wrong is the pool, which is: only that they end counts.
    let outcome = fuzz::calls(seed, count, std::time::Duration::MAX);
    stop.word(0).store(1, Ordering::SeqCst);
    vandal.wait();
    let hung = matches!(&outcome, Err(why) if why.contains("hangs"));
    let verdict = match (hung, unload()) {
        (true, _) => Err(outcome.unwrap_err()),
        (_, Err(why)) => Err(why),
        _ => Ok(format!("{count} calls while {} pages were overwritten", stop.get(1))),
    };
    report("fuzz-pool", verdict)
}

fn unload() -> Result<(), String> {
    match module::unload_soon() {
        Ok(()) => Ok(()),
        Err(error) => Err(format!("the module cannot be unloaded: {error:?}")),
    }
}

/// Changes a few bytes of a page of the tables, or of a page of anything, again and again.
fn vandalize(seed: u64, tables: u64, stop: &Shared) -> i32 {
    let mut open = std::fs::OpenOptions::new();
    let open = open.read(true).write(true).custom_flags(libc::O_DIRECT);
    let device = open.open(&options().device).expect("the pool's device");
    let mut rng = Rng::new(seed ^ 0xbad);
    let mut page = Box::new(Page([0; 4096]));
    while stop.get(0) == 0 {
        let at = match rng.below(3) {
            0 => rng.below(tables + 2000),
            _ => rng.below(tables),
        } * 4096;
        if device.read_exact_at(&mut page.0, at).is_err() {
            continue;
        }
        for _ in 0..1 + rng.below(8) {
            let byte = rng.below(4096) as usize;
            page.0[byte] ^= 1 << rng.below(8);
        }
        if rng.one_in(8) {
            let from = rng.below(4096) as usize;
            rng.bytes(4096 - from).iter().zip(&mut page.0[from..]).for_each(|(b, to)| *to = *b);
        }
        if device.write_all_at(&page.0, at).is_ok() {
            stop.add(1, 1);
        }
        std::thread::sleep(std::time::Duration::from_millis(rng.below(30)));
    }
    0
}
