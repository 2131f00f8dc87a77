// SPDX-License-Identifier: MIT OR Apache-2.0
//! `resize`, both ways.

use twz_abi::{DATA_START, PAGE};

use super::{Case, SMALL, Source, create, empty, furnish, furnish_and_copy, id};
use crate::store::Promise::{Shown, Whole};

/// The cases.
pub const CASES: &[Case] = &[
    Case::new(
        "grow",
        "grow",
        Whole,
        Source::Ops(
            SMALL,
            furnish,
            &[|s| {
                let r = s.find(id(1))?;
                s.resize(r, (5 << 20) + 1)
            }],
        ),
    ),
    Case::new(
        "grow",
        "grow_from_the_middle_of_a_page",
        Whole,
        Source::Ops(
            SMALL,
            |s| {
                furnish(s)?;
                let r = s.find(id(1))?;
                s.resize(r, 8000)?;
                // What a program wrote behind the end through its mapping.
                s.write(r, DATA_START + 8000, &[7; 192])
            },
            &[
                |s| {
                    let r = s.find(id(1))?;
                    s.resize(r, 60_000)
                },
                |s| {
                    let r = s.find(id(1))?;
                    s.resize(r, 61_000)
                },
            ],
        ),
    ),
    Case::new(
        "shrink",
        "shrink_a_little",
        Whole,
        Source::Ops(
            SMALL,
            furnish,
            &[|s| {
                let r = s.find(id(1))?;
                s.resize(r, 1023 * PAGE + 9)
            }],
        ),
    ),
    Case::new(
        "shrink",
        "shrink_to_nothing",
        Whole,
        Source::Ops(
            SMALL,
            furnish,
            &[|s| {
                let r = s.find(id(1))?;
                s.resize(r, 0)
            }],
        ),
    ),
    Case::new(
        "shrink",
        "shrink_many_pages",
        Whole,
        Source::Ops(
            100,
            |s| {
                create(s, 1, 5 << 20)?;
                let r = s.find(id(1))?;
                for page in 0..70 {
                    s.write(r, DATA_START + (8 + page * 8) * PAGE, &[7])?;
                }
                Ok(())
            },
            &[|s| {
                let r = s.find(id(1))?;
                s.resize(r, 3 * PAGE)
            }],
        ),
    ),
    Case::new(
        "shrink",
        "shrink_a_huge_run",
        Shown,
        Source::Ops(
            1100,
            |s| {
                empty(s)?;
                let r = s.find(id(1))?;
                s.touch_huge(r, 600).map(|_| ())
            },
            &[|s| {
                let r = s.find(id(1))?;
                s.resize(r, 700 * PAGE)
            }],
        ),
    )
    .weighs(20),
    Case::new(
        "shrink",
        "shrink_what_is_shared",
        Shown,
        Source::Ops(
            64,
            furnish_and_copy,
            &[|s| {
                let r = s.find(id(2))?;
                s.resize(r, 511 * PAGE + 100)
            }],
        ),
    ),
];
