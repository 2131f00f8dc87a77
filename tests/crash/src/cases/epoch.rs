// SPDX-License-Identifier: MIT OR Apache-2.0
//! `raise_epoch`: what was granted before is void, and stays so.

use super::{Case, Recorded, SMALL, Source, furnish_and_copy, id};
use crate::store::Promise::Whole;
use twz_core::Result;

fn raise(s: &mut Recorded, n: u64, epoch: u64) -> Result<()> {
    let r = s.find(id(n))?;
    s.raise_epoch(r, epoch)
}

/// The cases.
pub const CASES: &[Case] = &[Case::new(
    "raise an epoch",
    "raise_epoch",
    Whole,
    Source::Ops(
        SMALL,
        furnish_and_copy,
        &[|s| raise(s, 1, 1), |s| raise(s, 2, 9), |s| raise(s, 1, 7)],
    ),
)];
