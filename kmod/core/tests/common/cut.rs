// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Cutting a change at every write, flush and fence: what the crash tests share.
//!
//! `TWZ_CRASH_STATES` sets how many power cuts each change gets.

use twz_abi::{name::NameEntry, ObjectId, DATA_START, PAGE, TAIL_START};
use twz_core::{names::Binding, Media, Memory, Mode, Result, Store};
use zerocopy::FromZeros as _;

use super::{power::Power, *};

/// What an object shows, as far as the tests write.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    pub id: ObjectId,
    pub size: u64,
    pub names: u32,
    pub bytes: Vec<u8>,
}

/// What a store shows.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub objects: Vec<Shown>,
    pub names: Vec<(Vec<u8>, ObjectId)>,
    pub free: u64,
}

/// Parts of the slot that the tests write to.
const PARTS: [(u64, u64); 4] =
    [(0, 14 * PAGE), (510 * PAGE, 3 * PAGE), (1022 * PAGE, 4 * PAGE), (2000 * PAGE, PAGE)];

pub fn show<M: Media>(store: &Store<M>) -> State {
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
pub enum Promise {
    /// All of it or nothing.
    Whole,
    /// Of the data, each word is old or new; the rest is as before or after.
    Words,
    /// As `Words`, and pages may have been given back or taken.
    Holes,
    /// As `Whole`, but pages may have been taken before.
    Shown,
    /// Several changes: the check has nothing to say, wherever they are cut.
    Clean,
}

pub type Op = fn(&mut Store<Power>) -> Result<()>;

pub fn states() -> u64 {
    std::env::var("TWZ_CRASH_STATES").ok().and_then(|s| s.parse().ok()).unwrap_or(2000)
}

/// Recovers an image, checks it, and says what it shows.
pub fn recover(image: &mut [u8], what: &str) -> State {
    let shown = match Store::open(Memory::new(image), Mode::ReadWrite) {
        Ok(store) => show(&store),
        Err(error) => panic!("{what}: does not open: {error}"),
    };
    let found: Vec<String> = problems(image).iter().map(|p| p.to_string()).collect();
    assert!(found.is_empty(), "{what}: {found:#?}");
    shown
}

/// Cuts `op`, after `setup`, everywhere.
pub fn cut_everywhere(name: &str, promise: Promise, setup: Op, op: Op) {
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
        // The power fails when the next program recovers what the kill left.
        let mut again = media.clone();
        again.limit = again.done + random.below(80);
        let _ = Store::open(&mut again, Mode::ReadWrite).map(Store::into_media);
        let what = format!("{what}, then without power in recovery");
        judge(&what, promise, &before, &after, recover(&mut again.cut(&mut random), &what));
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
            if limit >= total && matches!(promise, Promise::Whole | Promise::Shown) {
                assert!(seen == after, "{what}: it had returned, and is not durable");
            }
        }
    }
}

fn judge(what: &str, promise: Promise, before: &State, after: &State, mut seen: State) {
    if promise == Promise::Clean {
        return;
    }
    if matches!(promise, Promise::Words | Promise::Holes) {
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
        let fits = promise == Promise::Holes || free.contains(&seen.free);
        assert!(fits, "{what}: {} free pages", seen.free);
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
pub fn furnish(s: &mut Store<Power>) -> Result<()> {
    let r = create(s, 1, 5 << 20);
    s.write(r, DATA_START, &[1; 12 * 4096])?;
    s.write(r, DATA_START + 510 * PAGE, &[2; 3 * 4096])?;
    s.write(r, DATA_START + 1022 * PAGE, &[3; 4 * 4096])?;
    s.write(r, TAIL_START, &[4; 64])
}

/// The same, and a copy of it.
pub fn furnish_and_copy(s: &mut Store<Power>) -> Result<()> {
    furnish(s)?;
    let r = s.find(id(1))?;
    s.copy(r, id(2), &new(2, 0)).map(|_| ())
}

/// A test for each change, which is given as what it promises, what comes
/// before it, and the change.
#[macro_export]
macro_rules! cuts {
    ($($name:ident: $promise:ident, $setup:expr, $op:expr;)*) => {$(
        #[test]
        fn $name() {
            common::cut::cut_everywhere(stringify!($name), common::cut::Promise::$promise, $setup, $op);
        }
    )*};
}
