// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Images that rot and images that lie: nothing panics and everything ends.
//!
//! Bits are flipped anywhere, and fields of every structure are set to what
//! they should not be, with checksums made good again so that the lie is
//! believed as far as it can be. Then the store is opened, read, changed,
//! checked and repaired. `TWZ_HOSTILE_IMAGES` sets how many images.

mod common;

use common::*;
use twz_abi::{
    journal::{JournalEntry, JournalHeader, JournalSum, JOURNAL_MAGIC},
    name::{hash, NameEntry},
    record::{map_flags, MapWord},
    superblock::PoolState,
    ObjectId, ObjectRecord, Superblock, DATA_START, META_START, PAGE, SLOT_PAGES,
};
use twz_core::{
    check::Problem, geometry::Geometry, names::Binding, Memory, Mode, RecordNo, Store, StoreError,
    Translation,
};
use zerocopy::{FromBytes, FromZeros as _, IntoBytes};

/// A store with a bit of everything.
fn furnished() -> Vec<u8> {
    let mut bytes = image_with(800, Some(32));
    let mut s = open(&mut bytes);
    for n in 1..6 {
        let r = create(&mut s, n, 1 << 20);
        s.write(r, DATA_START, &[n as u8; 60_000]).unwrap();
        s.touch(r, SLOT_PAGES - 1, true).unwrap();
    }
    let r = s.find(id(1)).unwrap();
    s.set_meta(r, 1, 0, 0).unwrap();
    let entry = twz_abi::FotEntry::by_id(id(2), twz_abi::Rights::READ, 0);
    s.write(r, twz_abi::fot::entry_offset(1), entry.as_bytes()).unwrap();
    s.copy(r, id(7), &new(7, 0)).unwrap();
    s.mkdir(b"/d", &identity(100)).unwrap();
    s.mkdir(b"/d/e", &identity(101)).unwrap();
    for n in 0..40 {
        s.bind(format!("/d/e/{n}").as_bytes(), id(1 + n % 5), false).unwrap();
    }
    let r = s.delete(id(7)).unwrap();
    s.reclaim(r).unwrap();
    let r = s.find(id(2)).unwrap();
    s.copy(r, id(8), &new(8, 0)).unwrap();
    create(&mut s, 9, 0);
    s.delete(id(9)).unwrap();
    bytes
}

/// Does everything there is to do. What it says does not matter.
fn exercise(bytes: &mut [u8]) {
    for mode in [Mode::ReadOnly, Mode::ReadWrite] {
        let Ok(mut store) = Store::open(Memory::new(bytes), mode) else { continue };
        let (mut cursor, mut ids, mut page) = (0, [ObjectId::NULL; 4], [0; PAGE as usize]);
        while let Ok(n @ 1..) = store.list(&mut cursor, &mut ids) {
            for &id in &ids[..n] {
                let Ok(r) = store.find(id) else { continue };
                let _ = (store.stat(r), store.meta(r), store.pages_used(r));
                for slot_page in (0..20).chain(510..514).chain(SLOT_PAGES - 3..=SLOT_PAGES) {
                    let _ = store.read(r, slot_page * PAGE, &mut page);
                    let _ = store.touch(r, slot_page, slot_page % 2 == 0);
                }
                let _ = store.write(r, DATA_START + 100, &[1; 5000]);
                exercise_pages(&mut store, r);
                let _ = store.resize(r, 50_000);
            }
        }
        let root = store.geometry().root_names;
        let (mut cursor, mut entry) = (0, NameEntry::new_zeroed());
        while let Ok(Some(binding)) = store.read_dir(root, &mut cursor, &mut entry) {
            if let Binding::Directory(dir) = binding {
                let mut cursor = 0;
                while let Ok(Some(_)) = store.read_dir(dir, &mut cursor, &mut entry) {}
            }
        }
        let _ = store.lookup(b"/d/e/3");
        let _ = store.lookup("/d".repeat(1500).as_bytes());
        let _ = store.bind(b"/d/e/3", id(2), true);
        let _ = store.rename(b"/d/e/4", b"/d/x");
        let _ = store.mkdir(b"/d/e/f", &identity(200));
        let _ = store.rmdir(b"/d/e/f").and_then(|r| store.reclaim(r));
        let r = store.find(id(3)).unwrap_or(RecordNo(3));
        let _ = store.copy(r, id(20), &new(20, 0));
        let _ = store.create(id(21), &new(21, 100));
        for n in 1..9 {
            let _ = store.delete(id(n)).and_then(|r| store.reclaim(r));
        }
    }
}

/// Does what there is to do with many pages. Each loop has an end: if a step
/// can be done again for ever, these tests do not end.
fn exercise_pages(store: &mut Store<Memory<'_>>, r: RecordNo) {
    let mut out = [Translation::Hole; 64];
    let Ok(record) = store.stat(r) else { return };
    let _ = store.extent(&record);
    for page in [0, 1, 9, 511, 600, SLOT_PAGES - 3, SLOT_PAGES - 1, u64::MAX] {
        let _ = (store.pages_from(&record, page), store.next_hole(&record, page));
        let _ = store.translate_many(&record, page, &mut out);
        let _ = store.touch_into(r, page, page % 2 == 0, &mut out);
    }
    let mut page = 0;
    while let Ok(Some(run)) = store.next_run(&record, page, SLOT_PAGES) {
        page = run.page + run.count;
    }
    let mut page = 0;
    while let Ok(next @ ..SLOT_PAGES) = store.flush_data(r, page, SLOT_PAGES, 100) {
        page = next;
    }
    let _ = store.write(r, META_START + 136, &[0, 0, 0, 0, 3, 0, 0, 0]);
    let mut page = 0;
    while let Ok(next @ ..250) = store.punch(r, page, 250, 5) {
        page = next;
    }
    if let Ok(Some(cut)) = store.resize_detached(r, 130 * PAGE) {
        while let Ok(false) = store.reclaim_some(cut, 5) {}
    }
}

/// Checks, repairs, and checks again: what is left is what cannot be mended.
fn check_and_mend(bytes: &mut [u8], what: &str) {
    let Ok(geo) = Geometry::load(&Memory::new(bytes)) else { return };
    if geo.pages > 100_000 || geo.records > 100_000 {
        return;
    }
    let _ = problems(bytes);
    if let Err(error) = mend(bytes) {
        panic!("{what}: repair: {error}");
    }
    for problem in problems(bytes) {
        let left = matches!(
            problem,
            Problem::Fot { .. }
                | Problem::Unreachable { .. }
                | Problem::NoRoot { .. }
                | Problem::Record { why: StoreError::IdMismatch { .. }, .. }
        );
        assert!(left, "{what}: left by the repair: {problem}");
    }
}

fn images() -> u64 {
    std::env::var("TWZ_HOSTILE_IMAGES").ok().and_then(|s| s.parse().ok()).unwrap_or(2500)
}

#[test]
fn flipped_bits() {
    let base = furnished();
    let geo = Geometry::load(&Memory::new(&mut base.clone())).unwrap();
    let mut random = Random(1);
    for n in 0..images() {
        let mut bytes = base.clone();
        for _ in 0..1 + random.below(12) {
            // Mostly where the structures are.
            let end = match random.below(4) {
                0 => bytes.len() as u64,
                1 => (geo.data_page + 60) * PAGE,
                _ => geo.data_page * PAGE,
            };
            let at = random.below(end) as usize;
            bytes[at] ^= 1 << random.below(8);
        }
        exercise(&mut bytes.clone());
        check_and_mend(&mut bytes, &format!("flips {n}"));
    }
}

/// Reads a structure, lets `change` lie, and writes it back.
fn lie<T: FromBytes + IntoBytes + zerocopy::Immutable>(
    bytes: &mut [u8],
    at: u64,
    change: impl FnOnce(&mut T),
) {
    let range = at as usize..at as usize + core::mem::size_of::<T>();
    let mut value = T::read_from_bytes(&bytes[range.clone()]).unwrap();
    change(&mut value);
    bytes[range].copy_from_slice(value.as_bytes());
}

/// A number that someone who means harm would choose.
fn number(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << random.below(64),
        3 => (1 << random.below(63)) - 1,
        4 => random.next(),
        _ => random.below(900),
    }
}

fn lie_somewhere(bytes: &mut [u8], geo: &Geometry, random: &mut Random) {
    let record_at = geo.records_page * PAGE + random.below(12) * 256;
    let page_at = random.below(geo.pages - geo.data_page).saturating_add(geo.data_page) * PAGE;
    match random.below(9) {
        0 => lie::<ObjectRecord>(bytes, record_at, |r| {
            match random.below(9) {
                0 => r.state = random.below(4) as u32,
                1 => r.next = number(random) as u32,
                2 => r.names = number(random) as u32,
                3 => r.size = number(random) % (twz_abi::MAX_DATA + 2),
                4 => r.kind = random.below(5) as u32,
                5 => r.next = random.below(14) as u32,
                6 => {
                    let (page, place) = (number(random), 2 * SLOT_PAGES);
                    r.root = MapWord::new(page & ((1 << 40) - 1), map_flags::NODE, place);
                }
                7 => {
                    let i = random.below(8);
                    r.direct[i as usize] = MapWord::new(random.below(900), 0, 1 + i);
                }
                _ => r.tail = MapWord::new(random.below(900), 0, SLOT_PAGES - 1),
            }
            r.checksum = r.compute_checksum();
        }),
        1 => lie::<PoolState>(bytes, geo.state_page * PAGE, |s| {
            match random.below(6) {
                5 => s.directories = number(random),
                0 => s.objects = number(random),
                1 => s.free_pages = number(random),
                2 => s.unused_record = random.below(40),
                3 => s.free_record = random.below(40) as u32,
                _ => s.dying_record = random.below(40) as u32,
            }
            s.checksum = s.compute_checksum();
        }),
        2 => {
            // A word of a node, if the page is one.
            let word = random.below(512);
            let (flags, place) = match random.below(3) {
                0 => (0, word),
                1 => (map_flags::NODE, SLOT_PAGES + word),
                _ => (map_flags::HUGE, SLOT_PAGES + word),
            };
            lie::<u64>(bytes, page_at + word * 8, |w| {
                *w = MapWord::new(random.below(900), flags, place).0;
            });
        }
        3 => lie::<u32>(bytes, geo.heads_page * PAGE + random.below(32) * 4, |h| {
            *h = random.below(40) as u32
        }),
        4 => lie::<u64>(bytes, geo.bitmap_page * PAGE + random.below(13) * 8, |w| {
            *w = number(random)
        }),
        5 => lie::<u32>(bytes, geo.refs_page * PAGE + random.below(800) * 4, |w| {
            *w = number(random) as u32
        }),
        6 => lie::<u64>(bytes, geo.groups_page * PAGE, |w| *w = number(random)),
        7 => lie_about_names(bytes, page_at, random),
        _ => {
            let entry = page_at + 64 + random.below(14) * 288;
            lie::<NameEntry>(bytes, entry, |e| {
                let (kind, name) = (random.below(3) as u8, [b'0' + random.below(10) as u8]);
                *e = NameEntry::new(&name, kind, id(random.below(10))).unwrap();
            });
        }
    }
}

/// Sets a tag of a page of names, if the page is one.
fn lie_about_names(bytes: &mut [u8], page_at: u64, random: &mut Random) {
    let name = [b'0' + random.below(10) as u8];
    let tag = [0, 1, number(random) as u32, hash(&name)][random.below(4) as usize];
    lie::<u32>(bytes, page_at + 8 + random.below(14) * 4, |t| *t = tag);
}

#[test]
fn believable_lies() {
    let base = furnished();
    let geo = Geometry::load(&Memory::new(&mut base.clone())).unwrap();
    let mut random = Random(2);
    for n in 0..images() {
        let mut bytes = base.clone();
        // Nothing that the journal would put right again.
        let journal = (geo.journal_page * PAGE) as usize;
        bytes[journal..journal + (geo.journal_pages * PAGE) as usize].fill(0);
        for _ in 0..1 + random.below(4) {
            lie_somewhere(&mut bytes, &geo, &mut random);
        }
        exercise(&mut bytes.clone());
        check_and_mend(&mut bytes, &format!("lies {n}"));
    }
}

#[test]
fn superblocks_that_lie() {
    let base = furnished();
    let mut random = Random(3);
    for _ in 0..images() {
        let mut bytes = base.clone();
        // The fields from `pages` to `data_page`.
        let at = 80 + 8 * random.below(12);
        let value = number(&mut random);
        for slot in 0..2 {
            lie::<u64>(&mut bytes, slot * PAGE + at, |w| *w = value);
            lie::<Superblock>(&mut bytes, slot * PAGE, |sb| sb.checksum = sb.compute_checksum());
        }
        exercise(&mut bytes);
    }
}

#[test]
fn journals_that_lie() {
    let base = furnished();
    let geo = Geometry::load(&Memory::new(&mut base.clone())).unwrap();
    let (start, slot_bytes) = (geo.journal_page * PAGE, geo.journal_pages / 2 * PAGE);
    let mut random = Random(4);
    for n in 0..images() {
        let mut bytes = base.clone();
        let (slot, mut entries) = (random.below(2), Vec::new());
        for _ in 0..random.below(6) {
            let target = match random.below(4) {
                0 => number(&mut random),
                1 => start + random.below(slot_bytes),
                _ => random.below(800 * PAGE) / 4 * 4,
            };
            let len = [0, 4, 8, 256, number(&mut random) as u32][random.below(5) as usize];
            let reserved = (random.below(20) == 0) as u32;
            entries.extend_from_slice(JournalEntry { target, len, reserved }.as_bytes());
            entries.extend((0..len.min(300) / 4 * 4).map(|_| random.next() as u8));
        }
        let mut header = JournalHeader {
            magic: JOURNAL_MAGIC,
            sequence: (random.below(3) * 1000) << 1 | slot,
            len: match random.below(10) {
                0 => number(&mut random),
                _ => entries.len() as u64,
            },
            checksum: 0,
        };
        let at = (start + slot * slot_bytes) as usize;
        bytes[at + 32..at + 32 + entries.len()].copy_from_slice(&entries);
        let len = header.len.min(slot_bytes - 32) as usize;
        let mut sum = JournalSum::new();
        sum.update(&bytes[at + 32..at + 32 + len]);
        sum.update(header.covered());
        header.checksum = sum.finish();
        bytes[at..at + 32].copy_from_slice(header.as_bytes());
        exercise(&mut bytes.clone());
        check_and_mend(&mut bytes, &format!("journal {n}"));
    }
}

#[test]
fn a_ring_of_directories_is_found_and_walked_to_its_end() {
    let mut bytes = image_with(300, Some(16));
    let mut store = open(&mut bytes);
    let a = store.mkdir(b"/a", &identity(1)).unwrap();
    let b = store.mkdir(b"/a/b", &identity(2)).unwrap();
    // Two more transactions, so that the journal does not put it right.
    create(&mut store, 3, 0);
    create(&mut store, 4, 0);
    store.into_media();
    // The last place is the real one; before it is the journal.
    let mut exchange = |old: NameEntry, new: &[u8]| {
        let at = bytes.windows(288).rposition(|w| w == old.as_bytes()).unwrap();
        bytes[at..at + 288].copy_from_slice(new);
    };
    let entry = |name: &[u8], id| NameEntry::new(name, 2, id).unwrap();
    exchange(entry(b"b", b), entry(b"b", a).as_bytes());
    let store = Store::open(Memory::new(&mut bytes), Mode::ReadOnly).unwrap();
    let path = format!("/a{}", "/b".repeat(2000));
    assert_eq!(store.lookup(path.as_bytes()), Ok(Binding::Directory(a)));
    store.into_media();
    assert!(!problems(&mut bytes).is_empty());
    let mut exchange = |old: NameEntry, new: &[u8]| {
        let at = bytes.windows(288).rposition(|w| w == old.as_bytes()).unwrap();
        bytes[at..at + 288].copy_from_slice(new);
    };
    // Without the way in, the ring is adrift.
    exchange(entry(b"a", a), &[0; 288]);
    let found = problems(&mut bytes);
    assert!(found.contains(&Problem::Unreachable { dir: a }), "{found:?}");
    check_and_mend(&mut bytes, "ring");
}
