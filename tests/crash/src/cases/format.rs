// SPDX-License-Identifier: MIT OR Apache-2.0
//! `format`, over a store that is there: the old one, none, or the new one.

use twz_core::format::{FormatOptions, format};

use super::{Case, Run, SMALL, Source, furnish, furnished};
use crate::{store::Promise::Refused, trace::Recorder};

fn over(old: Recorder) -> Run {
    let words = old.words().to_vec();
    let mut media = Recorder::new(words.clone());
    let options = FormatOptions {
        journal_pages: 8,
        records: Some(16),
        pool_id: [2; 16],
        hash_seed: 77,
        ..FormatOptions::plain()
    };
    format(&mut media, &options).expect("the pool is large enough");
    media.done();
    let images = vec![words.clone(), media.words().to_vec()];
    Run { words, events: media.events, images }
}

/// The cases.
pub const CASES: &[Case] = &[Case::new(
    "format",
    "format_over_a_store",
    Refused,
    Source::Own(|| over(furnished(SMALL, furnish).into_media())),
)];
