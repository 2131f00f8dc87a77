// SPDX-License-Identifier: MIT OR Apache-2.0
//! The store as a subject: opened for writing, which recovers it, then judged.
//!
//! The invariants, in the order in which they are looked at:
//!
//! 1. *opens*: `Store::open` for writing succeeds, and does not panic.
//! 2. *counts*: the numbers of objects and of free pages are those of a state
//!    that may be seen.
//! 3. *opens to be read*: nothing is left unfinished.
//! 4. *checks clean*: `check` finds nothing: every page is in use once or free,
//!    every count right, every record listed once, every name bound.
//! 5. *nothing free is read*: no page that the bitmap says is free was looked at.
//! 6. *recovers once*: opening again changes nothing of what is shown.
//! 7. *before or after*: objects, their sizes, epochs, bytes and names, all names, and
//!    the number of free pages are as before the operation, or as after it; as
//!    after it, once it returned. For bytes that are written in place, each
//!    word is old or new.
//!
//! 1 and 2 are looked at in every state. 3 to 7 depend only on what recovery
//! left, less the pages that it left free and the journal slots that it left
//! invalid; they are looked at whenever that was not there before (by hash, see
//! `image`), and known otherwise. That nothing of the excluded pages matters is
//! what 5 makes sure of, each time; an invalid slot's bytes matter to nobody
//! but `inspect`, which is what decides that it is one.

use std::{collections::HashMap, hash::BuildHasherDefault};

use twz_abi::{
    DATA_START, ObjectId, PAGE, TAIL_START,
    journal::{JournalHeader, JournalSum},
    name::NameEntry,
};
use twz_core::{
    Media, Mode, Store, StoreError,
    check::{check, repair, scratch_needed},
    geometry::Geometry,
    names::Binding,
};
use zerocopy::{FromBytes as _, FromZeros as _, IntoBytes as _};

use crate::{
    drive::{Broken, Itself, Subject},
    enumerate::Position,
    image::{Image, Through},
    lies::Lie,
};

/// What an object shows, as far as the cases write.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    id: ObjectId,
    size: u64,
    names: u32,
    epoch: u64,
    bytes: Vec<u8>,
}

/// What a store shows.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    objects: Vec<Shown>,
    names: Vec<(Vec<u8>, ObjectId)>,
    free: u64,
}

/// What a case promises of what is seen after a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// All of it or nothing.
    Whole,
    /// As `Whole`, but each word of the data is old or new, and pages may have
    /// been taken before.
    Words,
    /// As `Whole`, but the number of free pages is anything between.
    Shown,
    /// As `Whole`, but until it returned there may be no pool at all.
    Refused,
}

/// Parts of the slot that the cases write to: data offset and length.
pub const PARTS: [(u64, u64); 4] =
    [(0, 2 * PAGE), (510 * PAGE, 3 * PAGE), (1022 * PAGE, 2 * PAGE), (2000 * PAGE, 64)];

/// Looks at everything.
pub fn show<M: Media>(store: &Store<M>) -> Result<State, StoreError> {
    let (mut cursor, mut ids, mut objects) = (0, [ObjectId::NULL], Vec::new());
    while store.list(&mut cursor, &mut ids)? == 1 {
        let (r, stat) = store.find_record(ids[0])?;
        let mut bytes = Vec::new();
        if stat.kind == 0 {
            for (at, len) in PARTS {
                let len = len.min(stat.size.saturating_sub(at));
                let start = bytes.len();
                bytes.resize(start + len as usize, 0);
                store.read(r, DATA_START + at, &mut bytes[start..])?;
            }
            let start = bytes.len();
            bytes.resize(start + 64, 0);
            store.read(r, TAIL_START, &mut bytes[start..])?;
        }
        let (size, names, epoch) = (stat.size, stat.names, stat.epoch);
        objects.push(Shown { id: ids[0], size, names, epoch, bytes });
    }
    objects.sort_by_key(|o| o.id);
    let mut names = Vec::new();
    walk(store, store.geometry().root_names, b"", &mut names)?;
    names.sort();
    Ok(State { objects, names, free: store.info()?.free_pages })
}

fn walk<M: Media>(
    store: &Store<M>,
    dir: ObjectId,
    path: &[u8],
    out: &mut Vec<(Vec<u8>, ObjectId)>,
) -> Result<(), StoreError> {
    let (mut cursor, mut entry) = (0, NameEntry::new_zeroed());
    while let Some(binding) = store.read_dir(dir, &mut cursor, &mut entry)? {
        let path = [path, b"/", entry.bytes()].concat();
        if let Binding::Directory(dir) = binding {
            walk(store, dir, &path, out)?;
        }
        out.push((path, binding.id()));
    }
    Ok(())
}

/// What recovery is, for a subject.
pub type Recover = fn(&mut Image) -> Result<(), StoreError>;

/// Mends, then opens for writing.
pub fn mend(image: &mut Image) -> Result<(), StoreError> {
    let geo = Geometry::load(&Through(image))?;
    let mut scratch = vec![0; scratch_needed(&geo) as usize];
    repair(&mut Through(image), &mut scratch, &mut |_| {}).map(|_| ())
}

/// Opens for writing.
pub fn open(image: &mut Image) -> Result<(), StoreError> {
    Store::open(Through(image), Mode::ReadWrite).map(|_| ())
}

/// The subject.
pub struct StoreSubject {
    geo: Geometry,
    promise: Promise,
    recover: Recover,
    /// What is shown after each operation, the state before all of them first.
    states: Vec<State>,
    /// What is shown, by what recovery left.
    known: HashMap<u64, u64, BuildHasherDefault<Itself>>,
    scratch: Vec<u8>,
    hashes: Vec<u64>,
    valid: [Option<bool>; 2],
    looked: u64,
    /// What recovery sees instead, for deliberate mistakes.
    pub lie: Option<Lie>,
}

impl StoreSubject {
    /// A store whose images after each operation are these.
    pub fn new(promise: Promise, recover: Recover, images: &[Vec<u64>], seed: u64) -> Self {
        let states: Vec<State> = images
            .iter()
            .map(|words| {
                let mut image = Image::new(words.clone(), seed);
                recover(&mut image).expect("an image that was not cut can be opened");
                show_all(&mut image).expect("an image that was not cut can be read")
            })
            .collect();
        let mut first = Image::new(images[images.len() - 1].clone(), seed);
        let _ = recover(&mut first);
        let geo = Geometry::load(&Through(&mut first)).expect("a store has a superblock");
        Self {
            geo,
            promise,
            recover,
            states,
            known: HashMap::default(),
            scratch: vec![0; scratch_needed(&geo) as usize],
            hashes: Vec::new(),
            valid: [None; 2],
            looked: 0,
            lie: None,
        }
    }

    /// A hash of what recovery left, as far as anything can depend on it.
    fn key(&mut self, image: &Image) -> u64 {
        image.hashes_after(&mut self.hashes);
        let slots = [0, 1].map(|slot| self.slot_is_valid(image, slot));
        let mut key = slots[0] as u64 | (slots[1] as u64) << 1;
        for (page, &hash) in (0..).zip(&self.hashes) {
            if !self.is_closed(image, slots, page) {
                key = key.wrapping_add(hash);
            }
        }
        key
    }

    /// Whether nothing depends on a page: it is free, or in an invalid slot.
    fn is_closed(&self, image: &Image, slots: [bool; 2], page: u64) -> bool {
        let geo = &self.geo;
        if page >= geo.data_page {
            let word = geo.bitmap_page * 512 + page / 64;
            return image.word(word as u32) >> (page % 64) & 1 == 0;
        }
        match page.checked_sub(geo.journal_page) {
            Some(n) if n < geo.journal_pages => !slots[(n / (geo.journal_pages / 2)) as usize],
            _ => false,
        }
    }

    fn slot_is_valid(&mut self, image: &Image, slot: u64) -> bool {
        let half = self.geo.journal_pages / 2;
        let first = self.geo.journal_page + slot * half;
        let pages = &self.hashes[first as usize..(first + half) as usize];
        // As it was at the beginning.
        let same = pages.iter().all(|&hash| hash == 0);
        match self.valid[slot as usize] {
            Some(valid) if same => return valid,
            _ => {}
        }
        let bytes = &image.words()[first as usize * 512..(first + half) as usize * 512];
        let valid = is_sealed(bytes.as_bytes(), slot);
        if same {
            self.valid[slot as usize] = Some(valid);
        }
        valid
    }

    /// Everything that is not looked at in every state.
    fn look(&mut self, image: &mut Image) -> Result<u64, Broken> {
        self.looked += 1;
        let slots = [0, 1].map(|slot| self.slot_is_valid(image, slot));
        let closed: Vec<bool> = (0..self.geo.pages)
            .map(|page| page >= self.geo.data_page && self.is_closed(image, slots, page))
            .collect();
        image.guard(closed.into_iter());
        let shown = self.look_guarded(image);
        let peeked = image.unguard();
        let shown = shown?;
        if let Some(at) = peeked {
            return Err(Broken::new("nothing free is read", format!("byte {at} was")));
        }
        (self.recover)(image).map_err(|e| Broken::new("recovers once", e.to_string()))?;
        let again = show_all(image)?;
        if again != shown {
            let text = format!("{}; again: {}", brief(&shown), brief(&again));
            return Err(Broken::new("recovers once", text));
        }
        match self.matching(&shown) {
            0 => Err(Broken::new("before or after", self.neither(&shown))),
            mask => Ok(mask),
        }
    }

    fn look_guarded(&mut self, image: &mut Image) -> Result<State, Broken> {
        let shown = show_all(image)?;
        let mut found = Vec::new();
        let mut tell = |problem: twz_core::check::Problem| found.push(problem.to_string());
        if let Err(error) = check(&Through(image), &mut self.scratch, &mut tell) {
            found.push(error.to_string());
        }
        match found.is_empty() {
            true => Ok(shown),
            false => Err(Broken::new("checks clean", found.join("; "))),
        }
    }

    /// Which states this is.
    fn matching(&self, seen: &State) -> u64 {
        let mut mask = 0;
        for (i, state) in self.states.iter().enumerate() {
            mask |= ((state == seen) as u64) << i;
        }
        for (i, pair) in self.states.windows(2).enumerate() {
            let may = match self.promise {
                Promise::Whole | Promise::Refused => false,
                Promise::Words => words_between(&pair[0], &pair[1], seen),
                Promise::Shown => between(&pair[0], &pair[1], seen),
            };
            mask |= (may as u64) << (32 + i);
        }
        // A change that is cut may be there when bytes before it are not yet.
        for (i, three) in self.states.windows(3).enumerate() {
            let may = self.promise == Promise::Words && words_between(&three[0], &three[2], seen);
            mask |= (may as u64) << (48 + i);
        }
        mask
    }

    fn neither(&self, seen: &State) -> String {
        let all: Vec<String> = self.states.iter().map(brief).collect();
        format!("seen {}; never {}", brief(seen), all.join(", nor "))
    }

    fn counts(&self, image: &mut Image, allowed: u64) -> Result<(), Broken> {
        let store = Store::open(Through(image), Mode::ReadWrite);
        let store = store.map_err(|e| Broken::new("opens", e.to_string()))?;
        let info = store.info().map_err(|e| Broken::new("counts", e.to_string()))?;
        let is = |(i, state): (usize, &State)| {
            allowed >> i & 1 != 0
                && state.objects.len() as u64 == info.objects
                && state.free == info.free_pages
        };
        if self.promise == Promise::Whole && !self.states.iter().enumerate().any(is) {
            let text = format!("{} objects and {} free pages", info.objects, info.free_pages);
            return Err(Broken::new("counts", text));
        }
        Ok(())
    }
}

impl Subject for StoreSubject {
    fn allowed(&self, at: Position) -> u64 {
        let (cut, before) = (1 << (32 + at.done), (1 << (32 + at.done)) >> 1);
        match (at.returned, self.promise) {
            // Bytes in place are durable with the next change.
            (false, Promise::Words) if at.done > 0 => {
                3 << at.done | cut | before | 1 << (47 + at.done)
            }
            (false, _) => 3 << at.done | cut,
            (true, Promise::Words) => 1 << at.done | before,
            (true, _) => 1 << at.done,
        }
    }

    fn recover(&mut self, image: &mut Image, allowed: u64) -> Result<(), Broken> {
        // What has returned needs no repair any more.
        let recover = if allowed.is_power_of_two() { open } else { self.recover };
        recover(image).map_err(|e| Broken::new("opens", e.to_string()))
    }

    fn judge(&mut self, image: &mut Image, allowed: u64) -> Result<u64, Broken> {
        if let Some(lie) = self.lie {
            lie(&self.geo, image);
        }
        if self.promise == Promise::Refused
            && allowed >> 32 != 0
            && let Err(StoreError::Format(_)) = Geometry::load(&Through(image))
        {
            return Ok(allowed);
        }
        if self.recover as usize != open as Recover as usize {
            self.recover(image, allowed)?;
        }
        self.counts(image, allowed)?;
        let key = self.key(image);
        let mask = match self.known.get(&key) {
            Some(&mask) => mask,
            None => {
                let mask = self.look(image)?;
                self.known.insert(key, mask);
                mask
            }
        };
        if mask & allowed == 0 {
            let text = format!("it shows states {mask:#x}, and may show {allowed:#x}");
            return Err(Broken::new("before or after", text));
        }
        Ok(mask)
    }

    fn looked(&self) -> u64 {
        self.looked
    }
}

fn show_all(image: &mut Image) -> Result<State, Broken> {
    let broken = |e: StoreError| Broken::new("opens to be read", e.to_string());
    let store = Store::open(Through(image), Mode::ReadOnly).map_err(broken)?;
    show(&store).map_err(broken)
}

/// Whether recovery would take what a slot holds for a transaction.
fn is_sealed(bytes: &[u8], slot: u64) -> bool {
    let Ok((header, rest)) = JournalHeader::read_from_prefix(bytes) else { return false };
    if header.check(slot, bytes.len() as u64).is_err() {
        return false;
    }
    let mut sum = JournalSum::new();
    sum.update(&rest[..header.len as usize]);
    sum.update(header.covered());
    sum.finish() == header.checksum
}

/// Whether only the number of free pages is between.
fn between(before: &State, after: &State, seen: &State) -> bool {
    // Nodes of the map may have been split before anything changed.
    let (low, high) = (before.free.min(after.free) - 4, before.free.max(after.free));
    let same = |state: &State| state.objects == seen.objects && state.names == seen.names;
    (low..=high).contains(&seen.free) && (same(before) || same(after))
}

/// Whether each word of the data is old or new, and all else as it should be.
fn words_between(before: &State, after: &State, seen: &State) -> bool {
    let mut whole = seen.clone();
    for object in &mut whole.objects {
        let like = |s: &State| s.objects.iter().find(|o| o.id == object.id).cloned();
        let Some(new) = like(after) else { return false };
        let old = like(before).unwrap_or_else(|| new.clone());
        if object.bytes.len() != new.bytes.len() || old.bytes.len() != new.bytes.len() {
            return false;
        }
        for (i, word) in object.bytes.chunks(8).enumerate() {
            let range = i * 8..i * 8 + word.len();
            if *word != old.bytes[range.clone()] && *word != new.bytes[range] {
                return false;
            }
        }
        object.bytes = new.bytes;
    }
    between(after, &State { free: before.free, ..after.clone() }, &whole)
}

fn brief(state: &State) -> String {
    let sizes: Vec<_> = state.objects.iter().map(|o| (o.size, o.names)).collect();
    format!("{} free, (size, names) {sizes:?}, {} names", state.free, state.names.len())
}
