// SPDX-License-Identifier: MIT OR Apache-2.0
//! `write` and `fill`: bytes in place, torn at 8; pages that come to be, whole.

use twz_abi::{DATA_START, PAGE, TAIL_START};
use twz_core::{NewObject, Result, ident::ContentHash};

use super::{Case, Recorded, SMALL, Source, dirty, empty, furnish, id};
use crate::store::Promise::Words;

fn dirty_empty(s: &mut Recorded) -> Result<()> {
    dirty(s)?;
    empty(s)
}

const SEALED: [u8; 300] = [5; 300];

fn sealed() -> NewObject {
    let mut hash = ContentHash::new();
    hash.update(&SEALED);
    let mut identity = super::identity(7);
    identity.flags = twz_abi::meta::flags::IMMUTABLE;
    identity.content = hash.finish();
    NewObject { size: 300, ..NewObject::bytes(identity) }
}

/// The cases.
pub const CASES: &[Case] = &[
    Case::new(
        "write",
        "write_in_place",
        Words,
        Source::Ops(
            SMALL,
            furnish,
            &[|s| {
                let r = s.find(id(1))?;
                s.write(r, DATA_START + 100, &[9; 140])
            }],
        ),
    )
    .weighs(10),
    Case::new(
        "write",
        "write_in_place_then_create",
        Words,
        Source::Ops(
            SMALL,
            furnish,
            &[
                |s| {
                    let r = s.find(id(1))?;
                    s.write(r, DATA_START + 100, &[9; 40])
                },
                |s| super::create(s, 2, 1).map(|_| ()),
            ],
        ),
    )
    .weighs(50),
    Case::new(
        "write",
        "write_to_holes",
        Words,
        Source::Ops(
            SMALL,
            dirty_empty,
            &[|s| {
                let r = s.find(id(1))?;
                s.write(r, DATA_START + 511 * PAGE + 4095, &[9; 40])
            }],
        ),
    ),
    Case::new(
        "write",
        "write_to_the_tail",
        Words,
        Source::Ops(
            SMALL,
            dirty_empty,
            &[|s| {
                let r = s.find(id(1))?;
                s.write(r, TAIL_START + 8, &[9; 32])
            }],
        ),
    ),
    Case::new(
        "fill",
        "fill_what_is_sealed",
        Words,
        Source::Ops(
            SMALL,
            |s| {
                dirty(s)?;
                let new = sealed();
                let id = new.identity.id().expect("it has an id");
                s.create(id, &new).map(|_| ())
            },
            &[|s| {
                let r = s.find(sealed().identity.id().expect("it has an id"))?;
                s.fill(r, DATA_START, &SEALED)?;
                s.verify_content(r)
            }],
        ),
    ),
];
