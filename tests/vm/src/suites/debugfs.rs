// SPDX-License-Identifier: MIT OR Apache-2.0
//! `/sys/kernel/debug/twz`: each number in it is what it says, and follows what
//! is done; and reading it does no harm, whatever goes on meanwhile.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::FileExt as _,
};

use twz_abi::{ObjectId, PAGE, Rights, reason};

use crate::{
    errno::Errno,
    ktap::Test,
    map::HUGE,
    probe,
    process::{self, Shared, Status},
    sys::Session,
    tests,
    world::{OPEN, RW, World, view_object},
};

/// The suite.
pub const TESTS: &[Test] = tests![
    the_state_is_what_info_says,
    the_state_counts_what_is_in_use,
    rights_grow_as_views_and_contexts,
    objects_are_listed_with_their_holders,
    views_are_listed_with_their_slots,
    each_fault_is_counted_by_its_kind,
    what_slots_come_to_show_is_counted,
    refusals_are_counted_by_their_reason,
    commands_and_waits_are_counted,
    a_long_list_is_whole,
    nothing_is_written_there,
    nobody_but_root_looks,
    looking_while_everything_changes,
];

const FILES: [&str; 5] = ["state", "objects", "views", "contexts", "faults"];

fn path(file: &str) -> String {
    format!("/sys/kernel/debug/twz/{file}")
}

pub fn text(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// Lines of `name value`. Those of `refused` have their value first.
fn numbers(file: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        match name {
            "refused" => {
                let (count, why) = value.split_once(' ')?;
                Some((why.to_owned(), count.parse().ok()?))
            }
            _ => Some((name.to_owned(), value.parse().ok()?)),
        }
    };
    let text = text(file);
    let all: BTreeMap<_, _> = text
        .lines()
        .map(|one| line(one).unwrap_or_else(|| panic!("{file}: no name and number: '{one}'")))
        .collect();
    assert_eq!(all.len(), text.lines().count(), "{file}: a name comes twice");
    all
}

/// A number in one of the files.
pub fn number(file: &str, name: &str) -> u64 {
    *numbers(file).get(name).unwrap_or_else(|| panic!("{file} has no {name}"))
}

/// By how much each counter moves while something is done. Those that do not move
/// are left out.
pub fn counted<T>(what: impl FnOnce() -> T) -> BTreeMap<String, u64> {
    let before = numbers("faults");
    what();
    let mut after = numbers("faults");
    after.retain(|name, count| {
        *count -= before[name];
        *count != 0
    });
    after
}

/// What [`counted`] returns, written down.
fn exactly(expected: &[(&str, u64)]) -> BTreeMap<String, u64> {
    expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn the_state_is_what_info_says() {
    let session = Session::open();
    let (state, info) = (numbers("state"), session.info());
    assert_eq!((state["dead"], state["read_only"]), (0, 0));
    assert_eq!(state["objects"], info.objects);
    assert!(state["directories"] >= 1, "the root directory");
    assert_eq!(state["pages"], info.pages);
    assert_eq!(state["free_pages"], info.free_pages);
    let id = session.object(PAGE);
    assert_eq!(session.word(id, 0), 0);
    session.set_word(id, 0, 1);
    assert_eq!(number("state", "objects"), info.objects + 1);
    assert_eq!(number("state", "free_pages"), session.info().free_pages);
    assert_eq!(number("state", "records"), state["records"], "room for objects, not objects");
    assert!(state["records"] > state["objects"]);
}

fn the_state_counts_what_is_in_use() {
    let in_use = || {
        let state = numbers("state");
        ["views", "bound_slots", "inodes", "held_objects"].map(|name| state[name])
    };
    let nothing = in_use();
    let plus = |more: [u64; 4]| {
        let mut sum = nothing;
        sum.iter_mut().zip(more).for_each(|(n, more)| *n += more);
        sum
    };
    let world = World::new();
    assert_eq!(in_use(), plus([1, 0, 0, 1]), "a view, which is held");
    let id = world.object(2, PAGE, OPEN);
    assert_eq!(in_use(), plus([1, 0, 0, 1]), "an entry alone is nothing");
    probe::load(world.at(2, 0)).expect("a load");
    assert_eq!(in_use(), plus([1, 1, 0, 2]), "a slot that was touched");
    let fd = world.session.open_fd(id, RW).expect("OPEN_FD");
    let again = world.session.open_fd(id, RW).expect("OPEN_FD");
    assert_eq!(in_use(), plus([1, 1, 1, 2]), "two descriptors of one inode");
    world.unmap(2);
    assert_eq!(in_use(), plus([1, 0, 1, 2]));
    drop((fd, again));
    drop(world);
    assert_eq!(in_use(), nothing);
}

/// One structure for each view and one for each context, however many objects they
/// have to do with and however many processes use them.
fn rights_grow_as_views_and_contexts() {
    let structures = || {
        let state = numbers("state");
        assert_eq!(state["rights_structures"], state["views"] + state["contexts"]);
        state["rights_structures"]
    };
    let nothing = structures();
    let worlds: Vec<World> = (0..6).map(|_| World::with(32, crate::map::RW)).collect();
    assert_eq!(structures(), nothing + 6);
    for world in &worlds {
        for slot in 2..32 {
            world.object(slot, PAGE, OPEN);
            probe::store(world.at(slot, 0), 1).expect("a store");
        }
    }
    assert_eq!(structures(), nothing + 6, "180 objects more");
    let second = World::of(Session::open(), worlds[0].view, 32, crate::map::RW);
    probe::load(second.at(2, 0)).expect("a load");
    assert_eq!(structures(), nothing + 6, "the same view in another session");
    drop((second, worlds));
    assert_eq!(structures(), nothing);
}

fn objects_are_listed_with_their_holders() {
    let holders = |id: ObjectId| -> Option<u64> {
        let text = text("objects");
        let line = text.lines().find(|line| line.starts_with(&id.to_string()))?;
        line.split_once(" holders ")?.1.parse().ok()
    };
    let world = World::new();
    let id = world.object(2, PAGE, OPEN);
    assert_eq!(holders(world.view), Some(1));
    assert_eq!(holders(id), None);
    world.show(3, id, RW);
    for (slot, count) in [(2, 1), (3, 2)] {
        probe::load(world.at(slot, 0)).expect("a load");
        assert_eq!(holders(id), Some(count));
        assert_eq!(world.session.stat(id).map(|stat| stat.references), Ok(count));
    }
    // It is still an object, to those who have it.
    assert_eq!(world.session.delete(id), Ok(()));
    assert_eq!(holders(id), Some(2));
    world.unmap(2);
    assert_eq!(holders(id), Some(1));
    world.unmap(3);
    assert_eq!(holders(id), None);
}

fn views_are_listed_with_their_slots() {
    let line = |id: ObjectId| {
        let text = text("views");
        text.lines().find(|line| line.starts_with(&id.to_string())).map(str::to_owned)
    };
    let session = Session::open();
    // Entries come a page at a time.
    let view = view_object(&session, 128);
    assert_eq!(line(view), None);
    let world = World::of(session, view, 128, crate::map::RW);
    assert_eq!(line(view), Some(format!("{view} slots 128 bound 0")));
    for slot in 2..5 {
        world.object(slot, PAGE, OPEN);
        probe::load(world.at(slot, 0)).expect("a load");
    }
    assert_eq!(line(view), Some(format!("{view} slots 128 bound 3")));
    drop(world);
    assert_eq!(line(view), None);
}

fn each_fault_is_counted_by_its_kind() {
    let world = World::new();
    let id = world.object(2, 4 * HUGE as u64, OPEN);
    // The slot is bound, and the second level of tables is there.
    probe::store(world.at(2, 0), 1).expect("a store");
    let far = |page: u64| world.at(2, page * PAGE);
    // Alone in its group of 16, in which data begin at slot page 1.
    let zeros = counted(|| probe::load(far(31)).expect("a load"));
    assert_eq!((zeros["faults"], zeros["small"]), (1, 1), "{zeros:?}");
    assert_eq!((zeros["zero"], zeros["small_pages"]), (16, 16), "{zeros:?}");
    assert_eq!(zeros.get("allocated"), None, "{zeros:?}");
    let written = counted(|| probe::store(far(31), 1).expect("a store"));
    assert_eq!(written["allocated"], 1, "{written:?}");
    assert!(written["slow"] == 1 && written["zaps"] == 1, "the zeros go: {written:?}");
    // 2 MiB, which are there, at slot offset 2 MiB.
    let large = HUGE as u64 / PAGE - 1;
    assert_eq!(world.session.reserve(id, HUGE as u64 - PAGE, 2 * HUGE as u64 - PAGE), Ok(()));
    let huge = counted(|| probe::store(far(large), 1).expect("a store"));
    assert_eq!((huge["faults"], huge["huge"], huge.get("small")), (1, 1, None), "{huge:?}");
    // A copy shares its pages until one of the two is written.
    probe::store(far(2), 1).expect("a store");
    let copy = world.session.copy(id).expect("COPY");
    assert_eq!(counted(|| probe::load(far(2)).expect("a load")).get("copied"), None);
    let parted = counted(|| probe::store(far(2), 2).expect("a store"));
    assert_eq!((parted["upgrade"], parted["copied"]), (1, 1), "{parted:?}");
    assert_eq!(world.session.delete(copy), Ok(()));
}

fn what_slots_come_to_show_is_counted() {
    let world = World::new();
    let two = world.session.create(PAGE, OPEN);
    // What the module made an id for itself is not verified again.
    let one = world.session.copy(two).expect("COPY");
    world.show(2, one, RW);
    let touch = || probe::load(world.at(2, 0)).expect("a load");
    let first = counted(touch);
    assert_eq!((first["bound"], first.get("rebound")), (1, None), "{first:?}");
    assert_eq!(first["verified"], 1, "its id, once: {first:?}");
    world.show(2, two, RW);
    // What is mapped stays; another page of the slot is asked about.
    let same = counted(touch);
    assert_eq!(same, exactly(&[]), "no fault at all");
    let outside = || probe::load(world.at(2, PAGE)).expect_err("a load past the end");
    let second = counted(outside);
    assert_eq!((second["rebound"], second["bound"]), (1, 1), "{second:?}");
    let dropped = counted(|| world.session.invalidate(world.view, 2, 1).expect("INVALIDATE"));
    assert_eq!(dropped, exactly(&[("commands", 1), ("invalidated", 1)]));
    world.show(2, one, RW);
    let again = counted(touch);
    assert_eq!((again["bound"], again.get("verified")), (1, None), "{again:?}");
}

fn refusals_are_counted_by_their_reason() {
    let world = World::new();
    let closed = world.session.create(PAGE, Rights::READ.or(Rights::DELETE));
    world.object(3, PAGE, OPEN);
    world.show(2, closed, RW);
    world.show(4, closed, Rights::READ);
    for (at, write, why) in [
        (world.at(2, 0), true, reason::CONTEXT_DENIES),
        (world.at(4, 0), true, reason::VIEW_DENIES),
        (world.at(3, PAGE), false, reason::OUTSIDE),
        (world.at(5, 0), false, reason::NO_VIEW),
    ] {
        let moved = counted(|| {
            let refused = match write {
                true => probe::store(at, 1).is_err(),
                false => probe::load(at).is_err(),
            };
            assert!(refused);
        });
        assert_eq!(moved.get(reason::text(why)), Some(&1), "{moved:?}");
        let others = reason::ALL.iter().filter(|(other, _)| *other != why);
        for (_, other) in others {
            assert_eq!(moved.get(*other), None, "{moved:?}");
        }
    }
}

fn commands_and_waits_are_counted() {
    let session = Session::open();
    let id = session.object(PAGE);
    let one = counted(|| session.info());
    assert_eq!(one, exactly(&[("commands", 1)]));
    let refused = counted(|| assert_eq!(session.resize(id, u64::MAX), Err(Errno::EINVAL)));
    assert_eq!((refused["commands"], refused["commands_refused"]), (1, 1), "{refused:?}");
    let waits = counted(|| {
        let shared = Shared::new();
        let child = process::fork(|| {
            let own = Session::open();
            shared.set(0, 1);
            let _ = own.wait(id, PAGE, 0, u64::MAX);
            0
        });
        shared.await_at_least(0, 1);
        let mut woken = 0;
        while woken == 0 {
            woken = session.wake(id, PAGE, 1).expect("WAKE");
        }
        assert_eq!(child.wait(), Status::Exited(0));
    });
    assert_eq!((waits["waits"], waits["woken"]), (1, 1), "{waits:?}");
}

/// More than a page of text, which is made again in a larger buffer; and the same
/// however it is read.
fn a_long_list_is_whole() {
    let session = Session::open();
    let ids: Vec<ObjectId> = (0..400).map(|_| session.object(0)).collect();
    let held: Vec<_> = ids.iter().map(|id| session.open_fd(*id, Rights::READ)).collect();
    assert!(held.iter().all(Result::is_ok));
    let whole = text("objects");
    for id in &ids {
        let wanted = format!("{id} holders 1");
        assert_eq!(whole.lines().filter(|line| *line == wanted).count(), 1, "{id}");
    }
    assert!(whole.len() > 4 * PAGE as usize);
    let mut file = File::open(path("objects")).expect("open");
    let (mut pieces, mut piece) = (Vec::new(), [0; 37]);
    while let Ok(n @ 1..) = file.read(&mut piece) {
        pieces.extend_from_slice(&piece[..n]);
    }
    assert_eq!(String::from_utf8_lossy(&pieces), whole);
    assert_eq!(file.read_at(&mut piece, 1 << 40).ok(), Some(0), "past the end");
}

fn nothing_is_written_there() {
    for name in FILES {
        let before = text(name).len();
        if let Ok(mut file) = OpenOptions::new().write(true).open(path(name)) {
            assert!(file.write(b"0\n").is_err(), "{name} takes a write");
        }
        assert!(File::create(path(&format!("{name}-more"))).is_err());
        assert!(text(name).len().abs_diff(before) < 100);
    }
}

fn nobody_but_root_looks() {
    let child = process::fork(|| {
        for number in [libc::SYS_setgid, libc::SYS_setuid] {
            process::syscall(number, [1000, 0, 0, 0, 0, 0]).expect("to be somebody else");
        }
        let refused = |name: &&str| File::open(path(name)).is_err();
        FILES.iter().filter(|name| !refused(name)).count() as i32
    });
    assert_eq!(child.wait(), Status::Exited(0));
}

fn looking_while_everything_changes() {
    let shared = Shared::new();
    let looker = process::fork(|| {
        while shared.get(0) == 0 {
            for name in FILES {
                let text = text(name);
                assert!(text.is_empty() || text.ends_with('\n'), "{name}: half a line");
            }
            shared.add(1, 1);
        }
        0
    });
    let mut rounds = 0;
    while shared.get(1) < 60 || rounds < 60 {
        let world = World::new();
        let id = world.object(2, 3 * PAGE, OPEN);
        probe::store(world.at(2, 0), 1).expect("a store");
        let _fd = world.session.open_fd(id, RW).expect("OPEN_FD");
        assert_eq!(world.session.delete(id), Ok(()));
        rounds += 1;
    }
    shared.set(0, 1);
    assert_eq!(looker.wait(), Status::Exited(0), "after {rounds} rounds");
}
