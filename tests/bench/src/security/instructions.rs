// SPDX-License-Identifier: MIT OR Apache-2.0
//! Instructions of a lookup and of a permitted access, which no other load on the
//! machine changes: counted by callgrind, each in a process of its own
//! (`twz-bench count security CASE PEER`), nothing but the operation itself.

use super::{
    FEW, FULL, QUICK, Size,
    access::{Home, RUNNERS},
    lookup::{Table, Which},
};
use crate::{callgrind, error::Failed, race::Contender, report::Record};

/// Operations that are counted: whole rounds of both.
const OPERATIONS: u64 = 128 << 10;

const LOOKUP: &str = "lookup/random";
const ACCESS: &str = "access";

/// One run below valgrind.
pub fn count(case: &str, peer: &str) -> Result<(), Failed> {
    let none = || Failed::new("no such case or peer to count");
    match case {
        LOOKUP => {
            let known = [FEW, QUICK.many, FULL.many].into_iter().find(|(name, _)| *name == peer);
            Table::new(known.ok_or_else(none)?, Which::Random)?.run(OPERATIONS)
        }
        ACCESS => {
            let known = RUNNERS.into_iter().find(|(name, _)| *name == peer);
            let (name, inside) = known.ok_or_else(none)?;
            Home::new(name, inside)?.access()?.run(OPERATIONS)
        }
        _ => Err(none()),
    }
}

/// Counts all of them, where valgrind is there to do it.
pub fn run(size: &Size) -> Vec<Record> {
    let cases = [
        (LOOKUP, "*ask_rules*", [size.many.0, FEW.0]),
        (ACCESS, "*access_nodes*", RUNNERS.map(|(name, _)| name)),
    ];
    let mut records = Vec::new();
    for (case, function, pair) in cases {
        let count =
            |peer| callgrind::count(&["count", "security", case, peer], function, OPERATIONS);
        match count(pair[0]).and_then(|ours| Ok([ours, count(pair[1])?])) {
            Ok(counts) => records.push(Record {
                bench: "security".into(),
                ..Record::from_counts(case, pair, counts, "instructions")
            }),
            Err(failed) => println!("security: instructions of {case} not counted: {failed}"),
        }
    }
    records
}
