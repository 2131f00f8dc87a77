// SPDX-License-Identifier: MIT OR Apache-2.0
//! `repair`, cut and run again. What is cut here is recovered by a repair until
//! it has returned, and by opening from then on.

use twz_abi::PAGE;
use twz_core::{
    check::{repair, scratch_needed},
    geometry::Geometry,
};
use zerocopy::IntoBytes as _;

use super::{
    Case, Recorded, Run, SMALL, Source, create, furnish, furnish_and_copy, furnished, id, identity,
    replay::two_records,
};
use crate::{
    store::{Promise::Whole, mend},
    trace::Recorder,
};
use twz_core::Result;

fn named(s: &mut Recorded) -> Result<()> {
    furnish_and_copy(s)?;
    s.mkdir(b"/d", &identity(50))?;
    s.bind(b"/d/one", id(1), false)?;
    s.bind(b"/two", id(2), false).map(|_| ())
}

/// Mends a store whose page `page(geometry)` was overwritten.
fn damaged(pages: u64, page: fn(&Geometry) -> u64) -> Run {
    let store = furnished(pages, named);
    let geo = *store.geometry();
    let mut words = store.into_media().words().to_vec();
    let bytes = words.as_mut_bytes();
    // What the journal holds would be replayed over the damage.
    bytes[(geo.journal_page * PAGE) as usize..][..(geo.journal_pages * PAGE) as usize].fill(0);
    bytes[(page(&geo) * PAGE) as usize..][..4096].fill(0xa5);
    mended(words)
}

fn mended(words: Vec<u64>) -> Run {
    let mut media = Recorder::new(words.clone());
    let geo = Geometry::load(&media).expect("one superblock is left");
    let mut scratch = vec![0; scratch_needed(&geo) as usize];
    repair(&mut media, &mut scratch, &mut |_| {}).expect("memory does not fail");
    media.done();
    let images = vec![words.clone(), media.words().to_vec()];
    Run { words, events: media.events, images }
}

const fn case(name: &'static str, own: fn() -> Run) -> Case {
    Case { recover: mend, weight: 5, ..Case::new("repair", name, Whole, Source::Own(own)) }
}

/// The cases.
pub const CASES: &[Case] = &[
    case("repair_a_superblock", || damaged(64, |_| 0)),
    case("repair_the_counters", || damaged(64, |geo| geo.state_page)),
    case("repair_the_chains", || damaged(64, |geo| geo.heads_page)),
    case("repair_the_bitmap", || damaged(64, |geo| geo.bitmap_page)),
    case("repair_the_share_counts", || damaged(64, |geo| geo.refs_page)),
    case("repair_with_two_records", || {
        mended(two_records(furnish, |s| {
            create(s, 5, 1)?;
            create(s, 6, 2).map(|_| ())
        }))
    }),
    case("repair_with_two_names", || {
        mended(two_records(furnish, |s| {
            s.bind(b"/one", id(1), false)?;
            s.rename(b"/one", b"/two").map(|_| ())
        }))
    }),
    case("repair_nothing", || mended(furnished(SMALL, furnish).into_media().words().to_vec())),
];
