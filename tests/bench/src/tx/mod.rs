// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bench `tx`: transactions that survive a power cut, against libpmemobj on
//! the same tmpfs. Both are told to flush as on persistent memory: libpmemobj by
//! PMEM_IS_PMEM_FORCE, libtwz by TWZ_PERSIST.

pub mod fences;
mod pmemobj;
mod recovery;
mod twz;

use crate::{
    error::Failed,
    race::{Contender, Race, race},
    report::Record,
};

/// What a transaction does.
#[derive(Clone, Copy, PartialEq)]
pub enum Case {
    /// Changes two words, some lines apart.
    TwoWords,
    /// Changes 100 bytes in a row.
    HundredBytes,
    /// Two transactions: one takes 64 bytes and stores where they are, one gives
    /// them back.
    AllocFree,
    /// Puts a new key into a map.
    HashMapInsert,
}

const CASES: [(&str, Case, u64); 4] = [
    ("two_words", Case::TwoWords, 20_000),
    ("hundred_bytes", Case::HundredBytes, 20_000),
    ("alloc_free", Case::AllocFree, 10_000),
    ("hashmap_insert", Case::HashMapInsert, 10_000),
];
const ROUNDS: usize = 11;

/// Key number `i`.
pub fn key(i: u64) -> u64 {
    (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Runs it.
pub fn run() -> Result<Vec<Record>, Failed> {
    // SAFETY: this process has one thread yet.
    unsafe {
        std::env::set_var("PMEM_IS_PMEM_FORCE", "1");
        if std::env::var_os("TWZ_PERSIST").is_none() {
            std::env::set_var("TWZ_PERSIST", "clwb");
        }
    }
    let mut records = Vec::new();
    for (name, case, operations) in CASES {
        let race_of = Race { bench: "tx", case: name, rounds: ROUNDS, operations, warm: 100 };
        let mut contenders: [Box<dyn Contender>; 2] =
            [Box::new(twz::Twz::new(case)?), Box::new(pmemobj::Pmemobj::new(case)?)];
        records.extend(race(&race_of, &mut contenders)?);
        records.extend(counts(name, &mut contenders)?);
    }
    let many = match std::env::var("TWZ_BENCH_OBJECTS") {
        Ok(text) => text.parse().map_err(|_| Failed::new("TWZ_BENCH_OBJECTS is not a number"))?,
        Err(_) => 1_000_000,
    };
    records.extend(recovery::measure(many)?);
    Ok(records)
}

/// Fences, flushes and instructions of both, for each operation.
fn counts(name: &str, contenders: &mut [Box<dyn Contender>; 2]) -> Result<Vec<Record>, Failed> {
    let [ours, theirs] = contenders;
    let (ours, theirs) = (fences::count(&mut **ours)?, fences::count(&mut **theirs)?);
    let record = |case: &str, values: [f64; 2], unit: &str| Record {
        bench: "tx".into(),
        ..Record::from_counts(case, ["twz", "pmemobj"], values, unit)
    };
    Ok(vec![
        record(&format!("fences/{name}"), [ours.fences, theirs.fences], "fences"),
        record(&format!("fences/{name}"), [ours.flushes, theirs.flushes], "lines"),
        record(name, [ours.instructions, theirs.instructions], "instructions"),
    ])
}
