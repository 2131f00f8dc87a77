// SPDX-License-Identifier: MIT OR Apache-2.0
//! `create`.

use twz_abi::MAX_DATA;
use twz_core::NewObject;

use super::{Case, SMALL, Source, create, id, new, nothing};
use crate::store::Promise::Whole;

/// The cases.
pub const CASES: &[Case] = &[
    Case::new(
        "create",
        "create_in_an_empty_store",
        Whole,
        Source::Ops(SMALL, nothing, &[|s| s.create(id(1), &new(1, 7)).map(|_| ())]),
    ),
    Case::new(
        "create",
        "create_with_a_used_record",
        Whole,
        Source::Ops(
            SMALL,
            |s| {
                create(s, 1, 0)?;
                let r = s.delete(id(1))?;
                s.reclaim(r)
            },
            &[|s| s.create(id(2), &NewObject { kind: 1, ..new(2, MAX_DATA) }).map(|_| ())],
        ),
    ),
    Case::new(
        "create",
        "create_four_in_a_row",
        Whole,
        Source::Ops(
            SMALL,
            nothing,
            &[
                |s| create(s, 1, 1).map(|_| ()),
                |s| create(s, 2, 2).map(|_| ()),
                |s| create(s, 3, 3).map(|_| ()),
                |s| create(s, 4, 4).map(|_| ()),
            ],
        ),
    ),
];
