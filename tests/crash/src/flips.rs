// SPDX-License-Identifier: MIT OR Apache-2.0
//! Single bits flipped over the used part of a pool: every page of its tables,
//! and every page that an object has.
//!
//! What `twz pool check` does is done on each: the store's check, and where that
//! finds nothing, whether the sealed objects' data are what their ids cover. (Of
//! what is clean then, every sixteenth goes through the library's own check of
//! an image file, which must agree.) A flip that is reported is *caught*. One it does not is either in bytes that
//! belong to programs and that no checksum covers (*user*: the data of unsealed
//! objects, free entries of an FOT, the words of a meta record that programs
//! keep), or *harmless*: in bytes that nothing reads, which is shown by reading
//! everything, through the store, and comparing. Anything else is *silent*, and
//! a failure; so is a panic, of the check, of a repair or of reading.
//!
//! Each flip that is caught, and of which everything that was reported is said
//! to be mendable, is repaired: the check must be clean then, and all that can
//! be read must be as it was.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::FileExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use serde_json::{Value, json};
use twz_abi::{
    DATA_START, FotEntry, META_START, ObjectId, PAGE, Rights, SLOT_PAGES, TAIL_START, meta,
    record::RECORD_SIZE,
};
use twz_core::{
    Media as _, Memory, Mode, NewObject, Store, StoreError, Translation,
    check::{check, repair, scratch_needed},
    format::{FormatOptions, format},
    geometry::Geometry,
    ident::ContentHash,
};
use zerocopy::IntoBytes as _;

use crate::{
    cases::{id, identity, new},
    random::Random,
};

/// What became of the flips in one region.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Reported by the check.
    pub caught: u64,
    /// Of these: mended, and all is as it was.
    pub mended: u64,
    /// Of these: reported as lost, and clean after a repair.
    pub cut_off: u64,
    /// Of these: still reported after a repair.
    pub left: u64,
    /// Not reported, and nothing that can be read is another.
    pub harmless: u64,
    /// Not reported, in bytes of programs that nothing covers.
    pub user: u64,
}

/// What came of it.
#[derive(Default)]
pub struct Flips {
    /// By region, in the order of the pool.
    pub regions: BTreeMap<(u32, &'static str), Tally>,
    /// What went wrong.
    pub failures: Vec<String>,
}

impl Flips {
    /// For the report.
    pub fn json(&self) -> Value {
        let regions: Vec<Value> = self
            .regions
            .iter()
            .map(|((_, name), t)| {
                json!({
                    "region": name,
                    "caught": t.caught,
                    "mended": t.mended,
                    "cut_off": t.cut_off,
                    "left": t.left,
                    "harmless": t.harmless,
                    "user": t.user,
                })
            })
            .collect();
        json!({ "regions": regions, "failures": self.failures })
    }
}

/// Pages of the pool.
const PAGES: u64 = 120;

/// Flips `count` bits, one at a time.
pub fn run(count: u64, seed: u64) -> std::io::Result<Flips> {
    let good = furnished();
    let world = World::new(&good);
    let dir = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "." })?;
    let path = dir.path().join("pool.img");
    fs::write(&path, &good)?;
    let file = File::options().write(true).open(&path)?;
    let (mut random, mut flips) = (Random::named(seed, "flips"), Flips::default());
    let before = checked(&path);
    if before != Ok(0) {
        flips.failures.push(format!("the pool is not clean to begin with: {before:?}"));
    }
    let mut bad = good.clone();
    for n in 0..count {
        let page = world.used[random.below(world.used.len() as u64) as usize];
        let (at, bit) = (page * PAGE + random.below(PAGE), random.below(8));
        bad[at as usize] ^= 1 << bit;
        let region = world.region(at);
        let tally = flips.regions.entry(region).or_default();
        let wrong = catch_unwind(AssertUnwindSafe(|| {
            if world.finds(&mut bad) {
                return world.mend(&mut bad, at, tally);
            }
            if n % 16 == 0 {
                file.write_all_at(&bad[at as usize..=at as usize], at).expect("a write to memory");
                let library = checked(&path);
                file.write_all_at(&good[at as usize..=at as usize], at).expect("the same");
                if library != Ok(0) {
                    return Some(format!("only the library's check tells of it: {library:?}"));
                }
            }
            world.silent(&mut bad, at, tally)
        }));
        let wrong = wrong.unwrap_or_else(|_| Some("it panicked".to_owned()));
        if let Some(wrong) = wrong {
            flips.failures.push(format!("bit {bit} of byte {at} ({}): {wrong}", region.1));
        }
        bad.copy_from_slice(&good);
    }
    Ok(flips)
}

/// How many problems `twz pool check` tells of.
fn checked(path: &Path) -> Result<u64, String> {
    let mut found = 0;
    let mut report = |problem: twz::check::Problem| {
        found += (problem.severity != twz::check::Severity::Info) as u64;
    };
    match twz::check::check(path, &Default::default(), &mut |_| {}, &mut report) {
        Ok(_) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}

/// A sealed object with these data.
fn sealed(n: u64, data: &[u8]) -> NewObject {
    let mut hash = ContentHash::new();
    hash.update(data);
    let mut identity = identity(n);
    identity.flags = meta::flags::IMMUTABLE;
    identity.content = hash.finish();
    NewObject { size: data.len() as u64, ..NewObject::bytes(identity) }
}

/// A pool with something of everything in it.
fn furnished() -> Vec<u8> {
    let mut bytes = vec![0; (PAGES * PAGE) as usize];
    let options = FormatOptions { journal_pages: 8, records: Some(24), ..FormatOptions::plain() };
    format(&mut Memory::new(&mut bytes), &options).expect("the pool is large enough");
    let store = Store::open(Memory::new(&mut bytes), Mode::ReadWrite);
    furnish(&mut store.expect("it was just made")).expect("there is room");
    // What the last transaction left to do is done, and one more is behind it.
    let again = Store::open(Memory::new(&mut bytes), Mode::ReadWrite);
    assert!(again.is_ok(), "it was not cut");
    bytes
}

fn furnish(s: &mut Store<Memory<'_>>) -> Result<(), StoreError> {
    let r = s.create(id(1), &new(1, 5 << 20))?;
    s.write(r, DATA_START, &[1; 3 * 4096])?;
    s.write(r, DATA_START + 510 * PAGE, &[2; 5 * 4096])?;
    for index in 1..9u32 {
        let entry = FotEntry::by_id(id(index as u64), Rights::READ, 0);
        s.write(r, twz_abi::fot::entry_offset(index), entry.as_bytes())?;
    }
    for (n, size) in [(2, 5_000), (3, 40_000)] {
        let data: Vec<u8> = (0..size).map(|i: u32| (i * 7 + n) as u8).collect();
        let new = sealed(n as u64, &data);
        let id = new.identity.id().expect("it has an id");
        let r = s.create(id, &new)?;
        s.fill(r, DATA_START, &data)?;
        s.verify_content(r)?;
    }
    s.copy(r, id(4), &new(4, 0))?;
    let copy = s.find(id(4))?;
    s.write(copy, DATA_START + 512 * PAGE, &[9; 5000])?;
    for n in 5..9 {
        s.create(id(n), &new(n, 100 * n))?;
    }
    s.mkdir(b"/d", &identity(50))?;
    s.mkdir(b"/d/e", &identity(51))?;
    for (path, n) in [("/one", 1), ("/d/four", 4), ("/d/e/five", 5), ("/six", 6), ("/d/e/1", 1)] {
        s.bind(path.as_bytes(), id(n), false)?;
    }
    let r = s.delete(id(8))?;
    s.reclaim(r)
}

/// What an object is, and all its bytes that are its own.
type Seen = (ObjectId, Vec<u8>);

/// The pool as it should be.
struct World {
    geo: Geometry,
    used: Vec<u64>,
    /// The pages of each object: slot page, and whether the object is sealed.
    owned: BTreeMap<u64, (u64, bool)>,
    /// Pages of directories.
    names: Vec<u64>,
    /// Sealed objects.
    sealed: Vec<ObjectId>,
    /// Bytes of records that were ever used: the rest is written before it is read.
    records: u64,
    all: Vec<Seen>,
}

impl World {
    fn new(good: &[u8]) -> Self {
        let mut bytes = good.to_vec();
        let store = Store::open(Memory::new(&mut bytes), Mode::ReadOnly).expect("it is in order");
        let geo = *store.geometry();
        let (mut owned, mut names, mut sealed) = (BTreeMap::new(), Vec::new(), Vec::new());
        let (mut cursor, mut ids) = (0, [ObjectId::NULL]);
        while store.list(&mut cursor, &mut ids) == Ok(1) {
            let (r, stat) = store.find_record(ids[0]).expect("it was listed");
            let data = 1..=stat.size.div_ceil(PAGE);
            if stat.flags & meta::flags::IMMUTABLE != 0 {
                sealed.push(stat.id);
            }
            for page in data.chain([SLOT_PAGES - 1]) {
                let Ok(Translation::Page { pool_page, .. }) = store.translate(r, page) else {
                    continue;
                };
                owned.insert(pool_page, (page, stat.flags & meta::flags::IMMUTABLE != 0));
                if stat.kind == meta::kind::NAMES {
                    names.push(pool_page);
                }
            }
        }
        let all = see(&store).expect("it is in order");
        let mut word = [0; 8];
        let mut is_used = |page: u64| {
            let at = geo.bitmap_page * PAGE + page / 64 * 8;
            store.media().read(at, &mut word).expect("the bitmap is there");
            page < geo.data_page || u64::from_le_bytes(word) >> (page % 64) & 1 != 0
        };
        let used = (0..geo.pages).filter(|&page| is_used(page)).collect();
        let info = store.info().expect("it is in order");
        let records = (info.records - info.unused_records) * RECORD_SIZE;
        Self { geo, used, owned, names, sealed, records, all }
    }

    /// Whether a check tells of something.
    fn finds(&self, bad: &mut [u8]) -> bool {
        let (mut found, mut scratch) = (0, vec![0; scratch_needed(&self.geo) as usize]);
        if check(&Memory::new(bad), &mut scratch, &mut |_| found += 1).is_err() || found != 0 {
            return true;
        }
        let Ok(store) = Store::open(Memory::new(bad), Mode::ReadOnly) else { return true };
        let good = |id: &ObjectId| store.find(*id).and_then(|r| store.verify_content(r)).is_ok();
        !self.sealed.iter().all(good)
    }

    /// The part of the pool that a byte is in.
    fn region(&self, at: u64) -> (u32, &'static str) {
        let (geo, page) = (&self.geo, at / PAGE);
        let regions = [
            (geo.journal_page, "superblocks"),
            (geo.state_page, "journal"),
            (geo.heads_page, "state"),
            (geo.records_page, "heads"),
            (geo.groups_page, "records"),
            (geo.bitmap_page, "groups"),
            (geo.refs_page, "bitmap"),
            (geo.data_page, "share counts"),
        ];
        let found = (0..).zip(regions).find(|(_, (end, _))| page < *end);
        if let Some((i, (_, name))) = found {
            return (i, name);
        }
        match self.owned.get(&page) {
            _ if self.names.contains(&page) => (8, "names"),
            Some((slot, _)) if *slot == SLOT_PAGES - 1 => (9, "tail pages"),
            Some((_, true)) => (10, "sealed data"),
            Some((_, false)) => (11, "unsealed data"),
            None => (12, "nodes of maps"),
        }
    }

    /// A flip that no check told of.
    fn silent(&self, bad: &mut [u8], at: u64, tally: &mut Tally) -> Option<String> {
        let seen = match Store::open(Memory::new(bad), Mode::ReadOnly).and_then(|s| see(&s)) {
            Ok(seen) => seen,
            Err(error) => return Some(format!("silent, and yet: {error}")),
        };
        if self.is_users(at) {
            tally.user += 1;
            return None;
        }
        if seen != self.all {
            return Some("silent, and what is read is another".to_owned());
        }
        match self.unread(at) {
            true => tally.harmless += 1,
            false => return Some("silent, in bytes that something reads".to_owned()),
        }
        None
    }

    /// Whether a byte belongs to programs, and no checksum covers it.
    fn is_users(&self, at: u64) -> bool {
        let Some(&(slot, sealed)) = self.owned.get(&(at / PAGE)) else { return false };
        if self.names.contains(&(at / PAGE)) {
            return false;
        }
        if slot != SLOT_PAGES - 1 {
            return !sealed;
        }
        // In a tail page: what lies below the meta record, and the words in it
        // that programs keep, from the bounds to the end of the last of them.
        let within = at % PAGE;
        let of_meta = within.checked_sub(META_START - TAIL_START);
        of_meta.is_none_or(|n| (136..192).contains(&n))
    }

    /// Whether nothing reads a byte: it is past what a region has, or in the
    /// journal, where a record that does not count is in no way different from
    /// none, as long as all that it wrote is in its place (the check looks).
    fn unread(&self, at: u64) -> bool {
        let geo = &self.geo;
        let past =
            |first: u64, bytes: u64, end: u64| (first * PAGE + bytes..end * PAGE).contains(&at);
        past(geo.journal_page, 0, geo.state_page)
            || past(geo.state_page, 64, geo.heads_page)
            || past(geo.heads_page, geo.heads * 4, geo.records_page)
            || past(geo.records_page, self.records, geo.groups_page)
            || past(geo.groups_page, geo.groups() * 8, geo.bitmap_page)
            || past(geo.refs_page, geo.pages * 4, geo.data_page)
            || self.past_sealed_data(at)
    }

    /// Whether a byte is behind the data of a sealed object, in their last page.
    fn past_sealed_data(&self, at: u64) -> bool {
        match self.owned.get(&(at / PAGE)) {
            Some(&(2, true)) => at % PAGE >= 5_000 % PAGE,
            Some(&(10, true)) => at % PAGE >= 40_000 % PAGE,
            _ => false,
        }
    }

    /// A flip that the check told of.
    fn mend(&self, bad: &mut [u8], at: u64, tally: &mut Tally) -> Option<String> {
        tally.caught += 1;
        let mut scratch = vec![0; scratch_needed(&self.geo) as usize];
        let (mut mendable, mut told, mut left) = (true, Vec::new(), Vec::new());
        let mut tell = |problem: twz_core::check::Problem| {
            mendable &= problem.is_mendable();
            told.push(problem.to_string());
        };
        let looked = check(&Memory::new(bad), &mut scratch, &mut tell);
        // What the library's own check found beyond the store's: sealed data.
        let sealed = matches!(self.owned.get(&(at / PAGE)), Some((_, true)));
        let repaired = repair(&mut Memory::new(bad), &mut scratch, &mut |_| {});
        let mut tell = |problem: twz_core::check::Problem| left.push(problem.to_string());
        let again = check(&Memory::new(bad), &mut scratch, &mut tell);
        if repaired.is_err() || again.is_err() || !left.is_empty() {
            tally.left += 1;
            // Of a word that programs keep there is no second copy.
            let promised = looked.is_ok() && mendable && !sealed && !self.is_users(at);
            let why = format!("mendable, and not mended: {told:?}, then {repaired:?}, {left:?}");
            return promised.then_some(why);
        }
        let seen = Store::open(Memory::new(bad), Mode::ReadOnly).and_then(|s| see(&s));
        match seen.is_ok_and(|seen| seen == self.all) {
            true => tally.mended += 1,
            false if sealed || !mendable => tally.cut_off += 1,
            false => return Some("said to be mended, and something is lost".to_owned()),
        }
        None
    }
}

/// Everything that can be read: of each object its record, its meta record's
/// sealed part, its data and its names; of each directory its entries.
fn see(s: &Store<Memory<'_>>) -> Result<Vec<Seen>, StoreError> {
    let (mut all, mut cursor, mut ids) = (Vec::new(), 0, [ObjectId::NULL]);
    while s.list(&mut cursor, &mut ids)? == 1 {
        let (r, stat) = s.find_record(ids[0])?;
        let mut bytes = vec![0; stat.size as usize];
        s.read(r, DATA_START, &mut bytes)?;
        bytes.extend(stat.id.lo.to_le_bytes());
        bytes.extend(stat.names.to_le_bytes());
        bytes.extend(stat.size.to_le_bytes());
        let meta = s.meta(r)?;
        bytes.extend(&meta.as_bytes()[..136]);
        let mut tail = [0; (META_START - TAIL_START) as usize];
        s.read(r, TAIL_START, &mut tail)?;
        bytes.extend(tail);
        all.push((stat.id, bytes));
    }
    all.sort_by_key(|(id, _)| *id);
    let names: &[&[u8]] = &[b"/one", b"/d", b"/d/four", b"/d/e", b"/d/e/five", b"/six", b"/d/e/1"];
    for path in names {
        all.push((s.lookup(path)?.id(), path.to_vec()));
    }
    Ok(all)
}
