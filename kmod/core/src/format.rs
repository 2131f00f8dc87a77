// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Making a store on a medium: [`format`], told by [`FormatOptions`].
//!
//! Whatever was on the medium stops being a pool first, and becomes this one
//! last, with the second superblock; a power cut leaves one or none.

use twz_abi::{
    meta::kind,
    record::RECORD_SIZE,
    superblock::{self, groups_for, PoolState, GROUP_PAGES, SUPER_MAGIC},
    Superblock, FORMAT_VERSION, PAGE,
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::{
    error::{Result, StoreError},
    geometry::Geometry,
    ident::Identity,
    journal::CHUNK,
    media::{Media, ZEROS},
    object::NewObject,
    table::head_of,
};

/// What a store is made like. Whatever must be random comes from the caller.
#[derive(Clone, Copy, Debug)]
pub struct FormatOptions<'a> {
    /// Text for people, at most 64 bytes.
    pub label: &'a [u8],
    /// How many objects there can be; `None` is one for 16 pages, at least 64.
    pub records: Option<u64>,
    /// The pool's own id: random.
    pub pool_id: [u8; 16],
    /// Seed of the object table's hash: random and secret.
    pub hash_seed: u64,
    /// Identity of the root directory; its nonce: random.
    pub root: Identity,
    /// Seconds since 1970.
    pub created: u64,
    /// Pages of the journal: even, at least 8.
    pub journal_pages: u64,
}

impl FormatOptions<'_> {
    /// Options with everything at its default and no randomness: for tests.
    pub fn plain() -> Self {
        Self {
            label: b"",
            records: None,
            pool_id: [1; 16],
            hash_seed: 0x5eed,
            root: Identity::plain([1; 16]),
            created: 0,
            journal_pages: 64,
        }
    }
}

/// Makes a store on the whole of `media`, with an empty root directory.
pub fn format<M: Media>(media: &mut M, options: &FormatOptions<'_>) -> Result<()> {
    let geo = plan(media.len(), options)?;
    media.write(0, &[0; 8])?;
    media.write(PAGE, &[0; 8])?;
    media.flush(0, 2 * PAGE)?;
    media.fence()?;
    for page in geo.journal_page..geo.data_page {
        clear(media, page)?;
    }
    let free_pages = write_bitmap(media, &geo)?;
    write_root(media, &geo, options, free_pages)?;
    media.flush(geo.journal_page * PAGE, (geo.data_page - geo.journal_page) * PAGE)?;
    media.fence()?;
    for slot in 0..2 {
        write_superblock(media, &geo, slot, slot)?;
        media.fence()?;
    }
    Ok(())
}

/// Writes one superblock, from what is kept of it.
#[inline(never)] // A superblock is a page of stack; it goes when this returns.
pub(crate) fn write_superblock<M: Media>(
    media: &mut M,
    geo: &Geometry,
    slot: u64,
    sequence: u64,
) -> Result<()> {
    let mut sb = Superblock::new_zeroed();
    sb.magic = SUPER_MAGIC;
    sb.version = FORMAT_VERSION;
    sb.kind = superblock::kind::STORE;
    sb.sequence = sequence;
    sb.pool_id = geo.pool_id;
    sb.hash_seed = geo.hash_seed;
    sb.created = geo.created;
    sb.pages = geo.pages;
    sb.journal_page = geo.journal_page;
    sb.journal_pages = geo.journal_pages;
    sb.state_page = geo.state_page;
    sb.heads_page = geo.heads_page;
    sb.heads = geo.heads;
    sb.records_page = geo.records_page;
    sb.records = geo.records;
    sb.groups_page = geo.groups_page;
    sb.bitmap_page = geo.bitmap_page;
    sb.refs_page = geo.refs_page;
    sb.data_page = geo.data_page;
    sb.root_names = geo.root_names;
    sb.label = geo.label;
    sb.checksum = sb.compute_checksum();
    sb.check().map_err(StoreError::Format)?;
    media.write(slot * PAGE, sb.as_bytes())?;
    media.flush(slot * PAGE, PAGE)?;
    Ok(())
}

/// Lays the regions out.
fn plan(bytes: u64, options: &FormatOptions<'_>) -> Result<Geometry> {
    let wrong = |what| Err(StoreError::Options { what });
    let pages = (bytes / PAGE).min(1 << 40);
    let records = options.records.unwrap_or((pages / 16).max(64));
    if records == 0 || records > u32::MAX as u64 - 1 {
        return wrong("the number of records is out of range");
    }
    if options.journal_pages < 8
        || options.journal_pages % 2 != 0
        || options.journal_pages > 1 << 20
    {
        return wrong("the journal takes an even number of pages, from 8 to 1048576");
    }
    let mut label = [0; 64];
    if options.label.len() > label.len() || options.label.contains(&0) {
        return wrong("a label is at most 64 bytes without NUL");
    }
    for (to, from) in label.iter_mut().zip(options.label) {
        *to = *from;
    }
    // Twice as many at least: chains are short then, and a head is 4 bytes.
    let heads = (2 * records).next_power_of_two();
    let mut end = 2;
    let mut region = |bytes: u64| {
        let start = end;
        end += bytes.div_ceil(PAGE);
        start
    };
    let geo = Geometry {
        pool_id: options.pool_id,
        hash_seed: options.hash_seed,
        created: options.created,
        pages,
        journal_page: region(options.journal_pages * PAGE),
        journal_pages: options.journal_pages,
        state_page: region(PAGE),
        heads_page: region(heads * 4),
        heads,
        records_page: region(records * RECORD_SIZE),
        records,
        groups_page: region(groups_for(pages) * 8),
        bitmap_page: region(groups_for(pages) * PAGE),
        refs_page: region(pages * 4),
        data_page: region(0),
        root_names: options.root.id().ok_or(StoreError::Nonce)?,
        label,
        writable: true,
        current: 1,
        both: true,
    };
    if geo.data_page + 1 > pages {
        return Err(StoreError::TooSmall { need: (geo.data_page + 1) * PAGE, have: bytes });
    }
    options.root.verify(geo.root_names)?;
    Ok(geo)
}

/// Makes a page zeros; one that is already is only read, so that a sparse file
/// stays sparse.
fn clear<M: Media>(media: &mut M, page: u64) -> Result<()> {
    let mut buffer = [0; CHUNK];
    for at in (page * PAGE..(page + 1) * PAGE).step_by(CHUNK) {
        media.read(at, &mut buffer)?;
        if buffer.iter().any(|&b| b != 0) {
            media.write(page * PAGE, &ZEROS)?;
            return Ok(());
        }
    }
    Ok(())
}

/// Marks what is not data as in use, and counts each group's free pages.
fn write_bitmap<M: Media>(media: &mut M, geo: &Geometry) -> Result<u64> {
    let mut all = 0;
    for group in 0..geo.groups() {
        let first = group * GROUP_PAGES;
        let low = geo.data_page.clamp(first, first + GROUP_PAGES);
        let high = geo.pages.clamp(low, first + GROUP_PAGES);
        for page in (first..first + GROUP_PAGES).step_by(64) {
            if page >= low && page + 64 <= high {
                continue;
            }
            let free = |n: &u64| (low..high).contains(&(page + n));
            let bits = (0..64).filter(|n| !free(n)).fold(0u64, |bits, n| bits | 1 << n);
            media.write(geo.bits_at(page), &bits.to_le_bytes())?;
        }
        media.write(geo.group_at(group), &(high - low).to_le_bytes())?;
        all += high - low;
    }
    Ok(all)
}

/// Writes the first object, an empty root directory, and the state.
fn write_root<M: Media>(
    media: &mut M,
    geo: &Geometry,
    options: &FormatOptions<'_>,
    free_pages: u64,
) -> Result<()> {
    let new = NewObject { kind: kind::NAMES, ..NewObject::bytes(options.root) };
    let mut record = new.record(geo.root_names);
    record.names = 1;
    record.checksum = record.compute_checksum();
    media.write(geo.record_at(0), record.as_bytes())?;
    media.write(geo.head_at(head_of(geo, record.id)), &1u32.to_le_bytes())?;
    let mut state = PoolState::new_zeroed();
    (state.objects, state.free_pages, state.unused_record) = (1, free_pages, 1);
    state.directories = 1;
    state.checksum = state.compute_checksum();
    media.write(geo.state_at(), state.as_bytes())?;
    Ok(())
}
