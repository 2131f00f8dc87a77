// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bind`, `unbind`, `rename`, `mkdir`, `rmdir`.

use twz_core::Result;

use super::{Case, Recorded, SMALL, Source, create, dirty, id, identity};
use crate::store::Promise::Whole;

fn names(s: &mut Recorded) -> Result<()> {
    create(s, 1, 100)?;
    create(s, 2, 100)?;
    s.mkdir(b"/d", &identity(50))?;
    s.mkdir(b"/e", &identity(51))?;
    s.bind(b"/d/one", id(1), false)?;
    s.bind(b"/two", id(2), false).map(|_| ())
}

fn dirty_names(s: &mut Recorded) -> Result<()> {
    dirty(s)?;
    names(s)
}

/// A directory whose first page is full, so that the next name takes another.
fn full(s: &mut Recorded) -> Result<()> {
    dirty_names(s)?;
    for n in 0..14 {
        s.bind(format!("/e/{n}").as_bytes(), id(1), false)?;
    }
    Ok(())
}

/// The cases.
pub const CASES: &[Case] = &[
    Case::new(
        "bind",
        "bind",
        Whole,
        Source::Ops(SMALL, names, &[|s| s.bind(b"/d/three", id(2), false).map(|_| ())]),
    ),
    Case::new(
        "bind",
        "bind_in_an_empty_directory",
        Whole,
        Source::Ops(SMALL, dirty_names, &[|s| s.bind(b"/e/three", id(2), false).map(|_| ())]),
    ),
    Case::new(
        "bind",
        "bind_in_a_full_page",
        Whole,
        Source::Ops(SMALL, full, &[|s| s.bind(b"/e/three", id(2), false).map(|_| ())]),
    ),
    Case::new(
        "bind",
        "rebind",
        Whole,
        Source::Ops(SMALL, names, &[|s| s.bind(b"/d/one", id(2), true).map(|_| ())]),
    ),
    Case::new(
        "unbind",
        "unbind",
        Whole,
        Source::Ops(SMALL, names, &[|s| s.unbind(b"/d/one").map(|_| ())]),
    ),
    Case::new(
        "rename",
        "rename",
        Whole,
        Source::Ops(SMALL, dirty_names, &[|s| s.rename(b"/two", b"/e/2").map(|_| ())]),
    ),
    Case::new(
        "rename",
        "rename_over",
        Whole,
        Source::Ops(SMALL, names, &[|s| s.rename(b"/two", b"/d/one").map(|_| ())]),
    ),
    Case::new(
        "rename",
        "rename_a_directory",
        Whole,
        Source::Ops(SMALL, dirty_names, &[|s| s.rename(b"/d", b"/e/d").map(|_| ())]),
    ),
    Case::new(
        "mkdir",
        "mkdir",
        Whole,
        Source::Ops(SMALL, dirty_names, &[|s| s.mkdir(b"/e/f", &identity(60)).map(|_| ())]),
    ),
    Case::new(
        "rmdir",
        "rmdir",
        Whole,
        Source::Ops(SMALL, names, &[|s| s.rmdir(b"/e").map(|_| ())]),
    ),
    Case::new(
        "names in a row",
        "bind_rename_unbind_rmdir",
        Whole,
        Source::Ops(
            SMALL,
            names,
            &[
                |s| s.bind(b"/d/three", id(2), false).map(|_| ()),
                |s| s.rename(b"/d/three", b"/3").map(|_| ()),
                |s| s.unbind(b"/3").map(|_| ()),
                |s| s.unbind(b"/two").map(|_| ()),
                |s| s.rmdir(b"/e").map(|_| ()),
            ],
        ),
    ),
];
