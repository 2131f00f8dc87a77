// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a recovery sees that does not look: the journal's slots, changed before
//! it opens the store. A lie stands for a check that recovery does not make.

use twz_abi::journal::{JOURNAL_MAGIC, JournalSum};
use twz_core::geometry::Geometry;
use zerocopy::IntoBytes as _;

use crate::image::Image;

/// Changes an image before recovery sees it.
pub type Lie = fn(&Geometry, &mut Image);

/// The first word of a slot, and how many it has.
fn slot(geo: &Geometry, n: u64) -> (u32, u32) {
    let half = geo.journal_pages / 2;
    (((geo.journal_page + n * half) * 512) as u32, (half * 512) as u32)
}

/// The sequence of a slot, if its record is sealed.
fn sealed(geo: &Geometry, image: &Image, n: u64) -> Option<u64> {
    let (at, words) = slot(geo, n);
    let [magic, sequence, len, checksum] = [0, 1, 2, 3].map(|i| image.word(at + i));
    let fits = len % 4 == 0 && len <= words as u64 * 8 - 32;
    let right = magic == JOURNAL_MAGIC && sequence & 1 == n && fits;
    (right && sum(geo, image, n) == checksum).then_some(sequence)
}

fn sum(geo: &Geometry, image: &Image, n: u64) -> u64 {
    let (at, _) = slot(geo, n);
    let words = &image.words()[at as usize..];
    let mut sum = JournalSum::new();
    sum.update(&words[4..].as_bytes()[..words[2] as usize]);
    sum.update(words[..3].as_bytes());
    sum.finish()
}

/// Recovery does not compare the checksum.
pub fn every_sum_fits(geo: &Geometry, image: &mut Image) {
    for n in 0..2 {
        let (at, words) = slot(geo, n);
        let len = image.word(at + 2);
        if len.is_multiple_of(4) && len <= words as u64 * 8 - 32 {
            let sum = sum(geo, image, n);
            image.pretend(at + 3, sum);
        }
    }
}

/// Recovery takes the older of two records for the newer one.
pub fn the_older_is_newer(geo: &Geometry, image: &mut Image) {
    let [Some(a), Some(b)] = [0, 1].map(|n| sealed(geo, image, n)) else { return };
    let (older, newer) = if a < b { (0, b) } else { (1, a) };
    let (at, _) = slot(geo, older);
    image.pretend(at + 1, newer + 1);
    let sum = sum(geo, image, older);
    image.pretend(at + 3, sum);
}

/// Recovery finds no record.
pub fn no_record(geo: &Geometry, image: &mut Image) {
    for n in 0..2 {
        image.pretend(slot(geo, n).0, 0);
    }
}

/// Recovery overlooks the newer of two records.
pub fn only_the_older(geo: &Geometry, image: &mut Image) {
    if let [Some(a), Some(b)] = [0, 1].map(|n| sealed(geo, image, n)) {
        image.pretend(slot(geo, (b > a) as u64).0, 0);
    }
}
