// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What the tests share: images in memory, identities by number.
#![allow(dead_code)]

pub mod cut;
pub mod pages;
pub mod power;

use twz_abi::{ObjectId, PAGE};
use twz_core::{
    check::{check, repair, scratch_needed, Problem, Summary},
    format::{format, FormatOptions},
    geometry::Geometry,
    Identity, Memory, Mode, NewObject, RecordNo, Store,
};

/// An unformatted image.
pub fn blank(pages: u64) -> Vec<u8> {
    vec![0; (pages * PAGE) as usize]
}

/// A formatted image with a small journal.
pub fn image(pages: u64) -> Vec<u8> {
    image_with(pages, None)
}

/// A formatted image with a small journal and room for `records`.
pub fn image_with(pages: u64, records: Option<u64>) -> Vec<u8> {
    let mut bytes = blank(pages);
    let options = FormatOptions { journal_pages: 8, records, ..FormatOptions::plain() };
    format(&mut Memory::new(&mut bytes), &options).unwrap();
    bytes
}

/// Opens an image for writing.
pub fn open(bytes: &mut [u8]) -> Store<Memory<'_>> {
    Store::open(Memory::new(bytes), Mode::ReadWrite).unwrap()
}

/// The `n`th identity.
pub fn identity(n: u64) -> Identity {
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&n.to_le_bytes());
    nonce[8] = 7;
    Identity::plain(nonce)
}

/// The id of [`identity`] `n`.
pub fn id(n: u64) -> ObjectId {
    identity(n).id().unwrap()
}

/// Bytes, `size` of them.
pub fn new(n: u64, size: u64) -> NewObject {
    NewObject { size, ..NewObject::bytes(identity(n)) }
}

/// Makes object `n`.
pub fn create<M: twz_core::Media>(store: &mut Store<M>, n: u64, size: u64) -> RecordNo {
    store.create(id(n), &new(n, size)).unwrap()
}

/// A small generator of numbers, the same on every machine.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Everything that is wrong with an image.
pub fn problems(bytes: &mut [u8]) -> Vec<Problem> {
    let memory = Memory::new(bytes);
    let geo = Geometry::load(&memory).unwrap();
    let mut scratch = vec![0; scratch_needed(&geo) as usize];
    let mut found = Vec::new();
    check(&memory, &mut scratch, &mut |problem| found.push(problem)).unwrap();
    found
}

/// Mends an image, and says what was wrong.
pub fn mend(bytes: &mut [u8]) -> Result<(Summary, Vec<Problem>), twz_core::StoreError> {
    let mut memory = Memory::new(bytes);
    let geo = Geometry::load(&memory)?;
    let mut scratch = vec![0; scratch_needed(&geo) as usize];
    let mut found = Vec::new();
    let summary = repair(&mut memory, &mut scratch, &mut |problem| found.push(problem))?;
    Ok((summary, found))
}

/// Fails with every problem spelled out.
pub fn assert_clean(bytes: &mut [u8]) {
    let found = problems(bytes);
    let text: Vec<String> = found.iter().map(|p| p.to_string()).collect();
    assert!(found.is_empty(), "{text:#?}");
}
