// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names by commands.

use std::collections::BTreeMap;

use twz_abi::{ObjectId, Rights};

use crate::{errno::Errno, ktap::Test, probe, sys::Session, tests, world::World};

/// The suite.
pub const TESTS: &[Test] = tests![
    a_name_is_bound_found_and_taken_away,
    a_taken_name_is_eexist_unless_replaced,
    names_are_counted,
    directories_nest_and_go_only_when_empty,
    what_is_no_directory_is_enotdir,
    a_rename_moves_and_replaces,
    a_directory_cannot_be_moved_below_itself,
    bad_names_are_einval,
    the_longest_names_work,
    a_directory_is_read_in_pages_each_name_once,
    names_that_come_and_go_disturb_no_reader,
    the_control_page_counts_changes_of_names,
    the_root_is_a_directory,
];

const OBJECT: u32 = 1;
const DIRECTORY: u32 = 2;

/// A session and a directory of its own, which goes with it.
struct Place {
    session: Session,
    home: Vec<u8>,
}

impl Place {
    fn new() -> Self {
        let session = Session::open();
        let home = format!("/t{}", std::process::id()).into_bytes();
        session.mkdir(&home).expect("MKDIR");
        Self { session, home }
    }

    fn path(&self, name: &str) -> Vec<u8> {
        [&self.home[..], b"/", name.as_bytes()].concat()
    }

    fn bind(&self, name: &str, id: ObjectId) -> Result<(), Errno> {
        self.session.bind(&self.path(name), id, false)
    }

    fn lookup(&self, name: &str) -> Result<(u32, ObjectId), Errno> {
        self.session.lookup(&self.path(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.session.remove_tree(&self.home);
    }
}

fn a_name_is_bound_found_and_taken_away() {
    let place = Place::new();
    let id = place.session.object(1);
    assert_eq!(place.lookup("a"), Err(Errno::ENOENT));
    assert_eq!(place.bind("a", id), Ok(()));
    assert_eq!(place.lookup("a"), Ok((OBJECT, id)));
    assert_eq!(
        place.session.lookup(&[b"//", &place.home[..], b"///a/"].concat()),
        Ok((OBJECT, id))
    );
    assert_eq!(place.session.unbind(&place.path("a")), Ok(()));
    assert_eq!(place.lookup("a"), Err(Errno::ENOENT));
    assert_eq!(place.session.unbind(&place.path("a")), Err(Errno::ENOENT));
    assert!(place.session.stat(id).is_ok(), "the object stays");
    let unknown = ObjectId::from_u128(7 << 64 | 7);
    assert_eq!(place.bind("b", unknown), Err(Errno::ENOENT));
}

fn a_taken_name_is_eexist_unless_replaced() {
    let place = Place::new();
    let (a, b) = (place.session.object(1), place.session.object(2));
    assert_eq!(place.bind("n", a), Ok(()));
    assert_eq!(place.bind("n", b), Err(Errno::EEXIST));
    assert_eq!(place.lookup("n"), Ok((OBJECT, a)));
    assert_eq!(place.session.bind(&place.path("n"), b, true), Ok(()));
    assert_eq!(place.lookup("n"), Ok((OBJECT, b)));
    assert_eq!(place.session.mkdir(&place.path("n")), Err(Errno::EEXIST));
    assert_eq!(place.session.mkdir(&place.path("d")), Ok(()));
    assert_eq!(place.session.mkdir(&place.path("d")), Err(Errno::EEXIST));
    assert_eq!(place.session.bind(&place.path("d"), a, true), Err(Errno::EISDIR));
}

fn names_are_counted() {
    let place = Place::new();
    let id = place.session.object(1);
    let names = || place.session.stat(id).expect("STAT").names;
    for (i, name) in ["a", "b", "c"].into_iter().enumerate() {
        assert_eq!(place.bind(name, id), Ok(()));
        assert_eq!(names(), i as u32 + 1);
    }
    assert_eq!(place.session.delete(id), Err(Errno::EBUSY));
    assert_eq!(place.session.rename(&place.path("a"), &place.path("b")), Ok(()));
    assert_eq!(names(), 2, "the name that was replaced does not count any more");
    for name in ["b", "c"] {
        assert_eq!(place.session.unbind(&place.path(name)), Ok(()));
    }
    assert_eq!(names(), 0);
}

fn directories_nest_and_go_only_when_empty() {
    let place = Place::new();
    let (d, deeper) = (place.path("d"), place.path("d/e/f"));
    assert_eq!(place.session.mkdir(&deeper), Err(Errno::ENOENT));
    for part in ["d", "d/e", "d/e/f"] {
        assert_eq!(place.session.mkdir(&place.path(part)), Ok(()));
    }
    assert_eq!(place.lookup("d/e/f").map(|found| found.0), Ok(DIRECTORY));
    assert_eq!(place.session.rmdir(&d), Err(Errno::ENOTEMPTY));
    assert_eq!(place.session.unbind(&d), Err(Errno::EISDIR));
    for part in ["d/e/f", "d/e", "d"] {
        assert_eq!(place.session.rmdir(&place.path(part)), Ok(()));
    }
    assert_eq!(place.session.rmdir(&d), Err(Errno::ENOENT));
}

fn what_is_no_directory_is_enotdir() {
    let place = Place::new();
    let id = place.session.object(1);
    place.bind("file", id).expect("BIND");
    assert_eq!(place.lookup("file/x"), Err(Errno::ENOTDIR));
    assert_eq!(place.bind("file/x", id), Err(Errno::ENOTDIR));
    assert_eq!(place.session.mkdir(&place.path("file/x")), Err(Errno::ENOTDIR));
    assert_eq!(place.session.rmdir(&place.path("file")), Err(Errno::ENOTDIR));
    let read = place.session.read_dir(&place.path("file"), 4).map(|_| ());
    assert_eq!(read, Err(Errno::ENOTDIR));
}

fn a_rename_moves_and_replaces() {
    let place = Place::new();
    let (a, b) = (place.session.object(1), place.session.object(2));
    place.session.mkdir(&place.path("d")).expect("MKDIR");
    place.bind("a", a).expect("BIND");
    place.bind("d/b", b).expect("BIND");
    assert_eq!(place.session.rename(&place.path("a"), &place.path("d/b")), Ok(()));
    assert_eq!(place.lookup("a"), Err(Errno::ENOENT));
    assert_eq!(place.lookup("d/b"), Ok((OBJECT, a)));
    assert_eq!(place.session.delete(b), Ok(()), "what was replaced has no name");
    assert_eq!(place.session.rename(&place.path("d"), &place.path("e")), Ok(()));
    assert_eq!(place.lookup("e/b"), Ok((OBJECT, a)));
    assert_eq!(place.session.rename(&place.path("no"), &place.path("x")), Err(Errno::ENOENT));
}

fn a_directory_cannot_be_moved_below_itself() {
    let place = Place::new();
    for part in ["d", "d/e"] {
        place.session.mkdir(&place.path(part)).expect("MKDIR");
    }
    let got = place.session.rename(&place.path("d"), &place.path("d/e/d"));
    assert_eq!(got, Err(Errno::EINVAL));
    assert_eq!(place.lookup("d/e").map(|found| found.0), Ok(DIRECTORY));
}

fn bad_names_are_einval() {
    let place = Place::new();
    let id = place.session.object(1);
    let long = "x".repeat(256);
    for bad in [".", "..", "a/../b", "nul\0l", &long] {
        assert_eq!(place.bind(bad, id), Err(Errno::EINVAL), "BIND of {bad:?}");
        assert_eq!(place.lookup(bad).map(|_| ()), Err(Errno::EINVAL), "LOOKUP of {bad:?}");
        assert_eq!(place.session.mkdir(&place.path(bad)), Err(Errno::EINVAL), "MKDIR of {bad:?}");
    }
    let path = [&place.home[..], "/a".repeat(2048).as_bytes()].concat();
    assert!(path.len() > 4095);
    assert_eq!(place.session.lookup(&path).map(|_| ()), Err(Errno::EINVAL), "too long a path");
}

fn the_longest_names_work() {
    let place = Place::new();
    let id = place.session.object(1);
    let name = "n".repeat(255);
    assert_eq!(place.bind(&name, id), Ok(()));
    assert_eq!(place.lookup(&name), Ok((OBJECT, id)));
    let read = place.session.read_dir(&place.home, 1).expect("READ_DIR");
    assert_eq!(read, [(name.into_bytes(), OBJECT, id)]);
}

fn a_directory_is_read_in_pages_each_name_once() {
    let place = Place::new();
    let id = place.session.object(1);
    let mut made: Vec<Vec<u8>> = (0..123).map(|i| format!("name {i}").into_bytes()).collect();
    for name in &made {
        let path = [&place.home[..], b"/", name].concat();
        assert_eq!(place.session.bind(&path, id, false), Ok(()));
    }
    place.session.mkdir(&place.path("sub")).expect("MKDIR");
    made.push(b"sub".to_vec());
    made.sort();
    for room in [1, 2, 50, 1000] {
        let read = place.session.read_dir(&place.home, room).expect("READ_DIR");
        for (name, kind, of) in &read {
            let is_dir = name == b"sub";
            assert_eq!(*kind, if is_dir { DIRECTORY } else { OBJECT });
            assert!(is_dir || *of == id);
        }
        let mut names: Vec<Vec<u8>> = read.into_iter().map(|(name, ..)| name).collect();
        names.sort();
        assert_eq!(names, made, "{room} at a time");
    }
}

fn names_that_come_and_go_disturb_no_reader() {
    let place = Place::new();
    let id = place.session.object(1);
    let name = |i: u32| format!("stays {i}");
    (0..60).for_each(|i| place.bind(&name(i), id).expect("BIND"));
    let (mut cursor, mut seen) = (0, BTreeMap::<Vec<u8>, u32>::new());
    for round in 0.. {
        let some = place.session.read_dir_some(&place.home, &mut cursor, 5).expect("READ_DIR");
        if some.is_empty() {
            break;
        }
        for entry in &some {
            *seen.entry(entry.name[..entry.len as usize].to_vec()).or_default() += 1;
        }
        let _ = place.bind(&format!("comes {round}"), id);
        let _ = place.session.unbind(&place.path(&format!("comes {}", round / 2)));
    }
    for i in 0..60 {
        assert_eq!(seen.get(name(i).as_bytes()), Some(&1), "{}", name(i));
    }
}

fn the_control_page_counts_changes_of_names() {
    let place = Place::new();
    let world = World::new();
    let names = || probe::load(world.slot(0, twz_abi::ioctl::CONTROL_OFFSET + 16)).expect("a load");
    let id = place.session.create(1, Rights::DEFAULT);
    let mut last = names();
    let mut moved = |what: &str| {
        let now = names();
        assert!(now > last, "{what}: {now} after {last}");
        last = now;
    };
    place.bind("a", id).expect("BIND");
    moved("BIND");
    place.session.rename(&place.path("a"), &place.path("b")).expect("RENAME");
    moved("RENAME");
    place.session.unbind(&place.path("b")).expect("UNBIND");
    moved("UNBIND");
    place.session.mkdir(&place.path("d")).expect("MKDIR");
    moved("MKDIR");
    place.session.rmdir(&place.path("d")).expect("RMDIR");
    moved("RMDIR");
    let _ = place.lookup("a");
    assert_eq!(names(), last, "LOOKUP changes nothing");
}

fn the_root_is_a_directory() {
    let place = Place::new();
    for root in [&b"/"[..], b"", b"///"] {
        let (kind, id) = place.session.lookup(root).expect("LOOKUP");
        assert!(kind == DIRECTORY && id.is_valid());
    }
    let home = &place.home[1..];
    let read = place.session.read_dir(b"/", 8).expect("READ_DIR");
    assert!(read.iter().any(|(name, kind, _)| name == home && *kind == DIRECTORY));
    assert_eq!(place.session.unbind(b"/"), Err(Errno::EISDIR));
    assert!(place.session.mkdir(b"/").is_err());
}
