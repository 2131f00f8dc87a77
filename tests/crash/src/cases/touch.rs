// SPDX-License-Identifier: MIT OR Apache-2.0
//! `touch`, `touch_many`, `touch_huge`: pages that come to be.

use twz_abi::{DATA_START, PAGE, SLOT_PAGES};

use super::{Case, Recorded, SMALL, Source, dirty, empty, furnish, id};
use crate::store::Promise::{Whole, Words};
use twz_core::Result;

fn dirty_empty(s: &mut Recorded) -> Result<()> {
    dirty(s)?;
    empty(s)
}

fn dirty_furnish(s: &mut Recorded) -> Result<()> {
    dirty(s)?;
    furnish(s)
}

fn dirty_copy(s: &mut Recorded) -> Result<()> {
    dirty(s)?;
    super::furnish_and_copy(s)
}

/// Object 1 with room for a huge run, on a pool that has one, with bytes in it.
fn huge(s: &mut Recorded) -> Result<()> {
    empty(s)?;
    let r = s.find(id(1))?;
    s.touch(r, 9, true)?;
    s.write(r, DATA_START + 511 * PAGE, &[0xa5; 4096 + 64])?;
    s.resize(r, 0)?;
    s.resize(r, 5 << 20)?;
    s.touch(r, 9, true).map(|_| ())
}

/// The cases.
pub const CASES: &[Case] = &[
    Case::new(
        "touch",
        "touch_a_hole_in_the_record",
        Whole,
        Source::Ops(
            SMALL,
            dirty_empty,
            &[|s| {
                let r = s.find(id(1))?;
                s.touch(r, 2, true).map(|_| ())
            }],
        ),
    ),
    Case::new(
        "touch",
        "touch_a_hole_below",
        Whole,
        Source::Ops(
            SMALL,
            dirty_furnish,
            &[|s| {
                let r = s.find(id(1))?;
                s.touch(r, 900, true).map(|_| ())
            }],
        ),
    ),
    Case::new(
        "touch",
        "touch_where_no_leaf_is",
        Words,
        Source::Ops(
            SMALL,
            dirty_empty,
            &[|s| {
                let r = s.find(id(1))?;
                s.touch(r, 900, true).map(|_| ())
            }],
        ),
    ),
    Case::new(
        "touch",
        "touch_the_tail",
        Whole,
        Source::Ops(
            SMALL,
            dirty_empty,
            &[|s| {
                let r = s.find(id(1))?;
                s.touch(r, SLOT_PAGES - 1, true).map(|_| ())
            }],
        ),
    ),
    Case::new(
        "touch many",
        "touch_many_in_the_record",
        Words,
        Source::Ops(
            SMALL,
            dirty_empty,
            &[
                |s| {
                    let r = s.find(id(1))?;
                    s.touch_many(r, 1, 5, true).map(|_| ())
                },
                |s| {
                    let r = s.find(id(1))?;
                    s.touch_many(r, 4, 5, true).map(|_| ())
                },
            ],
        ),
    ),
    Case::new(
        "touch many",
        "touch_many_below",
        Words,
        Source::Ops(
            SMALL,
            dirty_furnish,
            &[|s| {
                let r = s.find(id(1))?;
                s.touch_many(r, 1020, 6, true).map(|_| ())
            }],
        ),
    ),
    Case::new(
        "touch many",
        "touch_many_that_are_shared",
        Words,
        Source::Ops(
            64,
            dirty_copy,
            &[|s| {
                let r = s.find(id(2))?;
                s.touch_many(r, 511, 4, true).map(|_| ())
            }],
        ),
    ),
    Case::new(
        "touch huge",
        "touch_huge",
        Whole,
        Source::Ops(
            1100,
            huge,
            &[|s| {
                let r = s.find(id(1))?;
                s.touch_huge(r, 600).map(|_| ())
            }],
        ),
    ),
];
