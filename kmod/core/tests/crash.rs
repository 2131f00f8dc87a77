// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Every change, cut at every write, flush and fence.
//!
//! After each cut the image is opened and checked, and must show the state
//! before the change or the state after it, never anything between. Both kinds
//! of cut are tried: the program is killed (all its writes stay), and the power
//! fails (of what was not flushed and fenced, any subset of 8-byte words
//! stays). Data written in place are the exception the documentation names:
//! each word of them is old or new.
//!
//! `TWZ_CRASH_STATES` sets how many power cuts each change gets.

mod common;

use common::{power::Power, *};
use twz_abi::{name::NameEntry, ObjectId, DATA_START, MAX_DATA, PAGE, SLOT_PAGES, TAIL_START};
use twz_core::{names::Binding, Media, Memory, Mode, NewObject, Result, Store};
use zerocopy::FromZeros as _;

/// What an object shows, as far as the tests write.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    id: ObjectId,
    size: u64,
    names: u32,
    bytes: Vec<u8>,
}

/// What a store shows.
#[derive(Clone, Debug, PartialEq)]
struct State {
    objects: Vec<Shown>,
    names: Vec<(Vec<u8>, ObjectId)>,
    free: u64,
}

/// Parts of the slot that the tests write to.
const PARTS: [(u64, u64); 4] =
    [(0, 14 * PAGE), (510 * PAGE, 3 * PAGE), (1022 * PAGE, 4 * PAGE), (2000 * PAGE, PAGE)];

fn show<M: Media>(store: &Store<M>) -> State {
    let (mut cursor, mut ids, mut objects) = (0, [ObjectId::NULL], Vec::new());
    while store.list(&mut cursor, &mut ids).unwrap() == 1 {
        let r = store.find(ids[0]).unwrap();
        let stat = store.stat(r).unwrap();
        let mut bytes = Vec::new();
        if stat.kind == 0 {
            for (at, len) in PARTS {
                let len = len.min(stat.size.saturating_sub(at));
                let mut part = vec![0; len as usize];
                store.read(r, DATA_START + at, &mut part).unwrap();
                bytes.extend(part);
            }
            let mut fot = [0; 64];
            store.read(r, TAIL_START, &mut fot).unwrap();
            bytes.extend(fot);
        }
        objects.push(Shown { id: ids[0], size: stat.size, names: stat.names, bytes });
    }
    objects.sort_by_key(|o| o.id);
    let mut names = Vec::new();
    walk(store, store.geometry().root_names, b"", &mut names);
    names.sort();
    State { objects, names, free: store.info().unwrap().free_pages }
}

fn walk<M: Media>(
    store: &Store<M>,
    dir: ObjectId,
    path: &[u8],
    out: &mut Vec<(Vec<u8>, ObjectId)>,
) {
    let (mut cursor, mut entry) = (0, NameEntry::new_zeroed());
    while let Some(binding) = store.read_dir(dir, &mut cursor, &mut entry).unwrap() {
        let path = [path, b"/", entry.bytes()].concat();
        if let Binding::Directory(dir) = binding {
            walk(store, dir, &path, out);
        }
        out.push((path, binding.id()));
    }
}

/// What may be seen after a cut.
#[derive(Clone, Copy, PartialEq)]
enum Promise {
    /// All of it or nothing.
    Whole,
    /// Of the data, each word is old or new; the rest is as before or after.
    Words,
    /// As `Whole`, but pages may have been taken before.
    Shown,
}

type Op = fn(&mut Store<Power>) -> Result<()>;

fn states() -> u64 {
    std::env::var("TWZ_CRASH_STATES").ok().and_then(|s| s.parse().ok()).unwrap_or(2000)
}

/// Recovers an image, checks it, and says what it shows.
fn recover(image: &mut [u8], what: &str) -> State {
    let shown = match Store::open(Memory::new(image), Mode::ReadWrite) {
        Ok(store) => show(&store),
        Err(error) => panic!("{what}: does not open: {error}"),
    };
    let found: Vec<String> = problems(image).iter().map(|p| p.to_string()).collect();
    assert!(found.is_empty(), "{what}: {found:#?}");
    shown
}

/// Cuts `op`, after `setup`, everywhere.
fn cut_everywhere(name: &str, promise: Promise, setup: Op, op: Op) {
    // Small, for it is copied thousands of times; a huge run needs more.
    let pages = if name.contains("huge") { 1600 } else { 220 };
    let mut store = Store::open(Power::new(image_with(pages, Some(16))), Mode::ReadWrite).unwrap();
    setup(&mut store).unwrap();
    store.sync().unwrap();
    // The setup's last in-place writes are durable, and its journal still there.
    let base = store.into_media();
    assert!(base.is_settled());
    let run = |limit| {
        let mut media = base.clone();
        media.limit = u64::MAX;
        let mut store = Store::open(media, Mode::ReadWrite).unwrap();
        store.media_mut().limit = store.media().done + limit;
        let before = store.media().done;
        let result = op(&mut store);
        let media = store.into_media();
        let used = media.done - before;
        (media, used, result)
    };
    let before = recover(&mut base.visible.clone(), name);
    let (done, total, result) = run(u64::MAX / 2);
    result.unwrap_or_else(|e| panic!("{name}: {e}"));
    let after = recover(&mut done.visible.clone(), name);
    let mut random = Random(name.len() as u64);
    // Every point if there are few, else as many as states were asked for.
    let points: Vec<u64> = match total <= states() {
        true => (0..=total).collect(),
        false => (0..states()).map(|_| random.below(total + 1)).collect(),
    };
    let each = (states() / points.len() as u64).max(1);
    for limit in points {
        let (media, _, result) = run(limit);
        assert_eq!(result.is_ok(), limit >= total, "{name} cut at {limit} of {total}");
        let what = format!("{name} killed at {limit} of {total}");
        judge(&what, promise, &before, &after, recover(&mut media.visible.clone(), &what));
        for n in 0..each {
            let what = format!("{name} without power at {limit} of {total}, try {n}");
            let mut image = media.cut(&mut random);
            if n % 8 == 0 {
                // The power fails again, during recovery.
                let mut again = Power::new(image);
                again.limit = random.below(80);
                let _ = Store::open(&mut again, Mode::ReadWrite).map(Store::into_media);
                image = again.cut(&mut random);
            }
            let seen = recover(&mut image, &what);
            judge(&what, promise, &before, &after, seen.clone());
            if limit >= total && promise != Promise::Words {
                assert!(seen == after, "{what}: it had returned, and is not durable");
            }
        }
    }
}

fn judge(what: &str, promise: Promise, before: &State, after: &State, mut seen: State) {
    if promise == Promise::Words {
        // Take the words that are neither for what they should be.
        for object in &mut seen.objects {
            let like = |s: &State| s.objects.iter().find(|o| o.id == object.id).cloned();
            let (Some(old), Some(new)) = (like(before), like(after)) else { continue };
            assert_eq!(object.bytes.len(), new.bytes.len());
            for (i, word) in object.bytes.chunks(8).enumerate() {
                let range = i * 8..i * 8 + word.len();
                let known = *word == old.bytes[range.clone()] || *word == new.bytes[range.clone()];
                assert!(known, "{what}: bytes {range:?} are neither old nor new");
            }
            object.bytes = new.bytes;
        }
        let free = after.free..=before.free;
        assert!(free.contains(&seen.free), "{what}: {} free pages", seen.free);
        let mut after = after.clone();
        after.free = seen.free;
        let same = |o: &Shown| (o.id, o.size, o.names);
        let list = |s: &State| s.objects.iter().map(same).collect::<Vec<_>>();
        assert_eq!(list(&after), list(&seen), "{what}");
        return;
    }
    if promise == Promise::Shown && seen.objects == before.objects {
        seen.free = before.free;
    }
    let whole = seen == *after || seen == *before;
    let brief = |s: &State| {
        let sizes: Vec<_> = s.objects.iter().map(|o| (o.id, o.size, o.names)).collect();
        format!("{} free, {sizes:?}, {:?}", s.free, s.names)
    };
    assert!(
        whole,
        "{what}: neither before nor after.\nbefore {}\nafter {}\nseen {}",
        brief(before),
        brief(after),
        brief(&seen)
    );
}

/// Object 1 with data in the direct pages, two leaves, and a tail page.
fn furnish(s: &mut Store<Power>) -> Result<()> {
    let r = create(s, 1, 5 << 20);
    s.write(r, DATA_START, &[1; 12 * 4096])?;
    s.write(r, DATA_START + 510 * PAGE, &[2; 3 * 4096])?;
    s.write(r, DATA_START + 1022 * PAGE, &[3; 4 * 4096])?;
    s.write(r, TAIL_START, &[4; 64])
}

fn furnish_and_copy(s: &mut Store<Power>) -> Result<()> {
    furnish(s)?;
    let r = s.find(id(1))?;
    s.copy(r, id(2), &new(2, 0)).map(|_| ())
}

fn furnish_names(s: &mut Store<Power>) -> Result<()> {
    create(s, 1, 100);
    create(s, 2, 100);
    s.mkdir(b"/d", &identity(50))?;
    s.mkdir(b"/e", &identity(51))?;
    s.bind(b"/d/one", id(1), false)?;
    s.bind(b"/two", id(2), false).map(|_| ())
}

macro_rules! cuts {
    ($($name:ident: $promise:ident, $setup:expr, $op:expr;)*) => {$(
        #[test]
        fn $name() {
            cut_everywhere(stringify!($name), Promise::$promise, $setup, $op);
        }
    )*};
}

cuts! {
    create_in_an_empty_store: Whole, |_| Ok(()), |s| s.create(id(1), &new(1, 7)).map(|_| ());
    create_with_a_used_record: Whole,
        |s| {
            create(s, 1, 0);
            let r = s.delete(id(1))?;
            s.reclaim(r)
        },
        |s| s.create(id(2), &NewObject { kind: 1, ..new(2, MAX_DATA) }).map(|_| ());
    delete: Whole, furnish, |s| s.delete(id(1)).map(|_| ());
    delete_from_the_middle: Whole,
        |s| {
            for n in 1..12 {
                create(s, n, n);
            }
            s.delete(id(3))?;
            s.delete(id(9)).map(|_| ())
        },
        |s| s.delete(id(5)).map(|_| ());
    // What a cut leaves on the dying list is gone after recovery: so these are
    // whole although they are several changes.
    delete_and_reclaim: Whole, furnish, |s| {
        let r = s.delete(id(1))?;
        s.reclaim(r)
    };
    delete_and_reclaim_what_is_shared: Whole, furnish_and_copy, |s| {
        let r = s.delete(id(1))?;
        s.reclaim(r)
    };
    delete_and_reclaim_the_last_that_shares: Whole,
        |s| {
            furnish_and_copy(s)?;
            let r = s.delete(id(1))?;
            s.reclaim(r)
        },
        |s| {
            let r = s.delete(id(2))?;
            s.reclaim(r)
        };
    copy: Whole, furnish, |s| {
        let r = s.find(id(1))?;
        s.copy(r, id(2), &new(2, 0)).map(|_| ())
    };
    write_in_place: Words, furnish, |s| {
        let r = s.find(id(1))?;
        s.write(r, DATA_START + 100, &[9; 5000])
    };
    write_to_holes: Words,
        |s| {
            create(s, 1, 5 << 20);
            Ok(())
        },
        |s| {
            let r = s.find(id(1))?;
            s.write(r, DATA_START + 511 * PAGE + 7, &[9; 9000])
        };
    write_to_the_tail: Words,
        |s| {
            create(s, 1, 5 << 20);
            Ok(())
        },
        |s| {
            let r = s.find(id(1))?;
            s.write(r, TAIL_START + 8, &[9; 32])
        };
    write_to_what_is_shared: Words, furnish_and_copy, |s| {
        let r = s.find(id(2))?;
        s.write(r, DATA_START + 1022 * PAGE + 5, &[9; 5000])
    };
    write_to_the_source: Words, furnish_and_copy, |s| {
        let r = s.find(id(1))?;
        s.write(r, DATA_START + 5, &[9; 500])
    };
    write_a_huge_run: Words,
        |s| {
            create(s, 1, 5 << 20);
            Ok(())
        },
        |s| {
            let r = s.find(id(1))?;
            s.write(r, DATA_START + 511 * PAGE, &[9; 513 * 4096])
        };
    touch_a_hole: Whole, furnish, |s| {
        let r = s.find(id(1))?;
        s.touch(r, 900, true).map(|_| ())
    };
    touch_the_tail: Whole,
        |s| {
            create(s, 1, 5 << 20);
            Ok(())
        },
        |s| {
            let r = s.find(id(1))?;
            s.touch(r, SLOT_PAGES - 1, true).map(|_| ())
        };
    touch_huge: Whole,
        |s| {
            create(s, 1, 5 << 20);
            let r = s.find(id(1))?;
            s.touch(r, 9, true).map(|_| ())
        },
        |s| {
            let r = s.find(id(1))?;
            s.touch_huge(r, 600).map(|_| ())
        };
    grow: Whole, furnish, |s| {
        let r = s.find(id(1))?;
        s.resize(r, (5 << 20) + 1)
    };
    grow_from_the_middle_of_a_page: Whole,
        |s| {
            furnish(s)?;
            let r = s.find(id(1))?;
            s.resize(r, 5000)
        },
        |s| {
            let r = s.find(id(1))?;
            s.resize(r, 60_000)
        };
    shrink_a_little: Whole, furnish, |s| {
        let r = s.find(id(1))?;
        s.resize(r, 1023 * PAGE + 9)
    };
    shrink_to_nothing: Whole, furnish, |s| {
        let r = s.find(id(1))?;
        s.resize(r, 0)
    };
    shrink_many_pages: Whole,
        |s| {
            create(s, 1, 5 << 20);
            let r = s.find(id(1))?;
            for page in 0..130 {
                s.write(r, DATA_START + page * 8 * PAGE, &[7])?;
            }
            Ok(())
        },
        |s| {
            let r = s.find(id(1))?;
            s.resize(r, 3 * PAGE)
        };
    shrink_a_huge_run: Shown,
        |s| {
            create(s, 1, 5 << 20);
            let r = s.find(id(1))?;
            s.write(r, DATA_START + 511 * PAGE, &[9; 512 * 4096])
        },
        |s| {
            let r = s.find(id(1))?;
            s.resize(r, 700 * PAGE)
        };
    bind: Whole, furnish_names, |s| s.bind(b"/d/three", id(2), false).map(|_| ());
    bind_in_an_empty_directory: Whole, furnish_names,
        |s| s.bind(b"/e/three", id(2), false).map(|_| ());
    rebind: Whole, furnish_names, |s| s.bind(b"/d/one", id(2), true).map(|_| ());
    unbind: Whole, furnish_names, |s| s.unbind(b"/d/one").map(|_| ());
    rename: Whole, furnish_names, |s| s.rename(b"/two", b"/e/2").map(|_| ());
    rename_over: Whole, furnish_names, |s| s.rename(b"/two", b"/d/one").map(|_| ());
    rename_a_directory: Whole, furnish_names, |s| s.rename(b"/d", b"/e/d").map(|_| ());
    mkdir: Whole, furnish_names, |s| s.mkdir(b"/e/f", &identity(60)).map(|_| ());
    shrink_what_is_shared: Shown, furnish_and_copy, |s| {
        let r = s.find(id(2))?;
        s.resize(r, 511 * PAGE + 100)
    };
    rmdir: Whole, furnish_names, |s| s.rmdir(b"/e").map(|_| ());
}

/// A node that one change empties and frees is data in the next but one at the
/// earliest: else the replay of the first would write into the data.
#[test]
fn freed_nodes_that_become_data_are_not_replayed_into() {
    let mut store = Store::open(Power::new(image_with(220, Some(16))), Mode::ReadWrite).unwrap();
    let r = create(&mut store, 1, 5 << 20);
    store.write(r, DATA_START + 20 * PAGE, &[1]).unwrap();
    store.write(r, DATA_START + 1030 * PAGE, &[2; 3 * 4096]).unwrap();
    let data = create(&mut store, 2, 8 * PAGE);
    // Nothing is free but what the shrink frees: three pages and their leaf.
    let rest = create(&mut store, 3, 1 << 20);
    while store.info().unwrap().free_pages > 0 {
        let mut page = 1;
        while store.touch(rest, page, true).is_ok() {
            page += 1;
        }
    }
    store.resize(r, 21 * PAGE).unwrap();
    assert_eq!(store.info().unwrap().free_pages, 4);
    store.write(data, DATA_START, &[0xee; 4 * 4096]).unwrap();
    let after = show(&store);
    let (media, mut random) = (store.into_media(), Random(9));
    for n in 0..200 {
        assert_eq!(recover(&mut media.cut(&mut random), "reuse").objects, after.objects, "{n}");
    }
}

/// Formatting leaves a pool or none.
#[test]
fn format_is_whole() {
    use twz_core::format::{format, FormatOptions};
    let options = FormatOptions { journal_pages: 8, records: Some(16), ..FormatOptions::plain() };
    let mut old = image_with(200, Some(20));
    create(&mut open(&mut old), 1, 100);
    let mut media = Power::new(old.clone());
    format(&mut media, &options).unwrap();
    let (total, mut random) = (media.done, Random(5));
    for limit in 0..=total {
        let mut media = Power::new(old.clone());
        media.limit = limit;
        assert_eq!(format(&mut media, &options).is_ok(), limit == total);
        for _ in 0..20 {
            let mut image = media.cut(&mut random);
            if let Ok(store) = Store::open(Memory::new(&mut image), Mode::ReadWrite) {
                store.into_media();
                assert_clean(&mut image);
            }
        }
    }
}
