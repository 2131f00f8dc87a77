// SPDX-License-Identifier: MIT OR Apache-2.0
//! `punch`, and long work in steps: `reclaim_some`, `resize_detached`.

use super::{Case, Op, SMALL, Source, furnish, furnish_and_copy, id};
use crate::store::Promise::{Whole, Words};

/// All of the object's data, two pages or so at a time.
const PUNCH: Op = |s| {
    let r = s.find(id(1))?;
    let mut page = 1;
    while page < 1025 {
        page = s.punch(r, page, 1025, 2)?;
    }
    Ok(())
};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new("punch", "punch", Words, Source::Ops(SMALL, furnish, &[PUNCH])).weighs(40),
    Case::new("punch", "punch_what_is_shared", Words, Source::Ops(64, furnish_and_copy, &[PUNCH]))
        .weighs(40),
    Case::new(
        "reclaim",
        "reclaim_in_steps",
        Whole,
        Source::Ops(
            SMALL,
            furnish,
            &[|s| {
                let r = s.delete(id(1))?;
                while !s.reclaim_some(r, 2)? {}
                Ok(())
            }],
        ),
    ),
    Case::new(
        "shrink",
        "shrink_detached",
        Whole,
        Source::Ops(
            SMALL,
            furnish,
            &[|s| {
                let r = s.find(id(1))?;
                match s.resize_detached(r, 100)? {
                    Some(cut) => s.reclaim(cut),
                    None => Ok(()),
                }
            }],
        ),
    ),
];
