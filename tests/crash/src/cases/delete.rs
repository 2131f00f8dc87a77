// SPDX-License-Identifier: MIT OR Apache-2.0
//! `delete` and `reclaim`: what a cut leaves on the dying list is gone after
//! recovery, so these are whole although they are several transactions.

use super::{Case, Op, Recorded, SMALL, Source, create, furnish, furnish_and_copy, id};
use crate::store::Promise::Whole;
use twz_core::Result;

fn many(s: &mut Recorded) -> Result<()> {
    for n in 1..12 {
        create(s, n, n)?;
    }
    s.delete(id(3))?;
    s.delete(id(9)).map(|_| ())
}

const DELETE_1: Op = |s| {
    let r = s.delete(id(1))?;
    s.reclaim(r)
};

const DELETE_2: Op = |s| {
    let r = s.delete(id(2))?;
    s.reclaim(r)
};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new(
        "delete",
        "delete",
        Whole,
        Source::Ops(SMALL, furnish, &[|s| s.delete(id(1)).map(|_| ())]),
    ),
    Case::new(
        "delete",
        "delete_from_the_middle",
        Whole,
        Source::Ops(
            SMALL,
            many,
            &[|s| s.delete(id(5)).map(|_| ()), |s| s.delete(id(7)).map(|_| ())],
        ),
    ),
    Case::new("reclaim", "delete_and_reclaim", Whole, Source::Ops(SMALL, furnish, &[DELETE_1])),
    Case::new(
        "reclaim",
        "delete_and_reclaim_what_is_shared",
        Whole,
        Source::Ops(SMALL, furnish_and_copy, &[DELETE_1, DELETE_2]),
    ),
];
