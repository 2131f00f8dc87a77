// SPDX-License-Identifier: MIT OR Apache-2.0
//! `copy`, and copy on write after it.

use twz_abi::{DATA_START, PAGE, SLOT_PAGES};

use super::{Case, Recorded, SMALL, Source, dirty, furnish, furnish_and_copy, id, new};
use crate::store::Promise::{Whole, Words};
use twz_core::Result;

fn dirty_copy(s: &mut Recorded) -> Result<()> {
    dirty(s)?;
    furnish_and_copy(s)
}

/// The cases.
pub const CASES: &[Case] = &[
    Case::new(
        "copy",
        "copy",
        Whole,
        Source::Ops(
            SMALL,
            furnish,
            &[|s| {
                let r = s.find(id(1))?;
                s.copy(r, id(2), &new(2, 0)).map(|_| ())
            }],
        ),
    ),
    Case::new(
        "copy",
        "copy_of_a_copy",
        Whole,
        Source::Ops(
            SMALL,
            furnish_and_copy,
            &[|s| {
                let r = s.find(id(2))?;
                s.copy(r, id(3), &new(3, 0)).map(|_| ())
            }],
        ),
    ),
    Case::new(
        "copy on write",
        "touch_what_is_shared_in_the_record",
        Words,
        Source::Ops(
            64,
            dirty_copy,
            &[|s| {
                let r = s.find(id(2))?;
                s.touch(r, 1, true).map(|_| ())
            }],
        ),
    ),
    Case::new(
        "copy on write",
        "touch_what_is_shared_below",
        Words,
        Source::Ops(
            64,
            dirty_copy,
            &[|s| {
                let r = s.find(id(1))?;
                s.touch(r, 512, true).map(|_| ())
            }],
        ),
    ),
    Case::new(
        "copy on write",
        "touch_the_tail_of_a_copy",
        Words,
        Source::Ops(
            64,
            furnish_and_copy,
            &[|s| {
                let r = s.find(id(2))?;
                s.touch(r, SLOT_PAGES - 1, true).map(|_| ())
            }],
        ),
    ),
    Case::new(
        "copy on write",
        "write_to_what_is_shared",
        Words,
        Source::Ops(
            64,
            dirty_copy,
            &[|s| {
                let r = s.find(id(2))?;
                s.write(r, DATA_START + 1022 * PAGE + 5, &[9; 100])
            }],
        ),
    ),
    Case::new(
        "copy on write",
        "write_to_the_source",
        Words,
        Source::Ops(
            64,
            dirty_copy,
            &[|s| {
                let r = s.find(id(1))?;
                s.write(r, DATA_START + 5, &[9; 60])
            }],
        ),
    ),
];
