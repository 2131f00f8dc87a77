// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pool in an image file: the whole backend on it, its refusals, and copying
//! pools between directories and images.

mod common;

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use common::TempPool;
use twz::{
    Backend, Binding, EmbeddedPool, Error, Field, ImageOptions, ImagePool, InitOptions, NewObject,
    ObjectId, Persist, Ptr, PtrSlice, Rights, Space, flags, open_pool,
    transfer::{self, Progress},
};

#[derive(Persist)]
#[repr(C)]
struct Node {
    value: Field<u64>,
    next: Ptr<Node>,
}

fn node(value: u64) -> Node {
    Node { value: Field::new(value), next: Ptr::null() }
}

#[derive(Persist)]
#[repr(C)]
struct Hub {
    spokes: PtrSlice<Ptr<Node>>,
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn image(&self, name: &str, size: u64) -> ImagePool {
        let path = self.at(name);
        let options = ImageOptions {
            size,
            records: Some(1024),
            label: "test".into(),
            ..ImageOptions::default()
        };
        ImagePool::format(&path, &options).unwrap();
        ImagePool::open_unsynced(&path).unwrap()
    }

    fn directory(&self, name: &str) -> EmbeddedPool {
        EmbeddedPool::init(&self.at(name), &InitOptions::default()).unwrap();
        EmbeddedPool::open(&self.at(name)).unwrap()
    }
}

fn quiet(_: Progress) {}

fn ids(pool: &dyn Backend) -> Vec<ObjectId> {
    let mut ids = Vec::new();
    pool.list(&mut |id| {
        ids.push(id);
        Ok(())
    })
    .unwrap();
    ids.sort();
    ids
}

#[test]
fn every_home_does_the_same() {
    let (pool, place) = (TempPool::new(), Place::new());
    let pools: [Box<dyn Backend>; 2] = [pool.backend(), Box::new(place.image("image", 8 << 20))];
    for pool in &pools {
        let new = NewObject { size: 10_000, fingerprint: 7, kind: 1, ..NewObject::default() };
        let id = pool.create(&new).unwrap();
        pool.write(id, 4096 + 5000, b"hello").unwrap();
        let mut bytes = [1; 7];
        pool.read(id, 4096 + 4999, &mut bytes).unwrap();
        assert_eq!(&bytes, b"\0hello\0");
        let stat = pool.stat(id).unwrap();
        assert_eq!((stat.size, stat.fingerprint, stat.kind, stat.names), (10_000, 7, 1, 0));
        assert_eq!(stat.identity.id(), Some(id));

        pool.resize(id, 5003).unwrap();
        pool.resize(id, 20_000).unwrap();
        pool.read(id, 4096 + 4999, &mut bytes).unwrap();
        assert_eq!(&bytes, b"\0hel\0\0\0");
        assert_eq!(pool.size(id).unwrap(), 20_000);
        pool.reserve(id, 20_000, 30_000).unwrap();
        assert_eq!(pool.size(id).unwrap(), 30_000);
        assert!(matches!(pool.resize(id, 1 << 30), Err(Error::BadSize(_))));

        pool.make_dir("d").unwrap();
        pool.bind("d/a", id, false).unwrap();
        assert_eq!(pool.lookup("/d/a").unwrap(), Binding::Object(id));
        assert_eq!(pool.lookup("d").unwrap(), Binding::Directory);
        assert!(matches!(pool.bind("d/a", id, false), Err(Error::NameTaken(_))));
        assert!(matches!(pool.bind("d", id, true), Err(Error::NameTaken(_))));
        assert!(matches!(pool.bind("x/a", id, true), Err(Error::NoName(_))));
        assert!(matches!(pool.lookup("d/b"), Err(Error::NoName(_))));
        assert!(matches!(pool.lookup("d/a/b"), Err(Error::NotADirectory(_))));
        assert!(matches!(pool.remove_dir("d"), Err(Error::NotEmpty(_))));
        assert!(matches!(pool.delete(id), Err(Error::Busy { .. })));
        assert_eq!(pool.stat(id).unwrap().names, 1);
        pool.rename("d/a", "b").unwrap();
        let mut seen = Vec::new();
        pool.read_dir("", &mut |name, binding| {
            seen.push((name.to_owned(), binding));
            Ok(())
        })
        .unwrap();
        seen.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(seen, [("b".into(), Binding::Object(id)), ("d".into(), Binding::Directory)]);

        let sealed = NewObject { flags: flags::IMMUTABLE, ..NewObject::default() };
        assert!(matches!(pool.create(&sealed), Err(Error::Unsupported(_))));
        let copy = pool.copy(id, &sealed).unwrap();
        assert!(matches!(pool.resize(copy, 1), Err(Error::Immutable(_))));
        assert_eq!(pool.stat(copy).unwrap().kind, 1);
        let mut all = [id, copy];
        all.sort();
        assert!(all.iter().all(|id| ids(&**pool).contains(id)));

        pool.unbind("b").unwrap();
        pool.remove_dir("d").unwrap();
        pool.delete(id).unwrap();
        assert!(matches!(pool.stat(id), Err(Error::NoObject(_))));
        assert!(matches!(pool.delete(id), Err(Error::NoObject(_))));
    }
}

#[test]
fn an_image_says_that_it_cannot_be_mapped() {
    embedded_only!("it is about images and directories");
    let place = Place::new();
    let pool = place.image("image", 8 << 20);
    let id = pool.create(&NewObject { size: 64, ..NewObject::default() }).unwrap();
    let space = Space::on(Box::new(pool)).unwrap();
    let said = space.open_object::<()>(id).err().unwrap().to_string();
    assert!(said.contains("copy the pool into a directory"), "{said}");
}

#[test]
fn an_image_counts_objects_and_not_directories() {
    embedded_only!("it is about images and directories");
    let place = Place::new();
    let pool = place.image("image", 8 << 20);
    assert_eq!(pool.info().unwrap().objects, Some(0));
    pool.create(&NewObject::default()).unwrap();
    pool.make_dir("d").unwrap();
    let info = pool.info().unwrap();
    assert_eq!((info.objects, info.home, info.read_only), (Some(1), "image", false));
    assert_eq!(info.label, "test");
    drop(pool);
    let again = ImagePool::open(&place.at("image"), true).unwrap();
    let info = again.info().unwrap();
    assert_eq!((info.objects, info.read_only), (Some(1), true));
}

#[test]
fn a_second_writer_is_refused_and_readers_share() {
    embedded_only!("it is about images and directories");
    let place = Place::new();
    let path = place.at("image");
    let writer = place.image("image", 4 << 20);
    for read_only in [false, true] {
        let said = ImagePool::open(&path, read_only).err().unwrap();
        assert!(matches!(said, Error::Busy { .. }), "{said}");
    }
    assert!(matches!(open_pool(&path), Err(Error::Busy { .. })));
    drop(writer);
    let one = ImagePool::open(&path, true).unwrap();
    let two = ImagePool::open(&path, true).unwrap();
    assert!(matches!(ImagePool::open(&path, false), Err(Error::Busy { .. })));
    for pool in [&one, &two] {
        assert!(matches!(pool.create(&NewObject::default()), Err(Error::ReadOnly)));
        assert!(matches!(pool.make_dir("d"), Err(Error::ReadOnly)));
    }
    drop((one, two));
    ImagePool::open(&path, false).unwrap();
}

#[test]
fn what_is_no_image_is_refused_with_the_reason() {
    embedded_only!("it is about images and directories");
    let place = Place::new();
    let path = place.at("file");
    assert!(matches!(open_pool(&path), Err(Error::NoPool(_))));
    fs::write(&path, b"short").unwrap();
    let said = open_pool(&path).err().unwrap().to_string();
    assert!(said.contains("superblock"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), b"short");
    fs::write(&path, vec![b'x'; 1 << 16]).unwrap();
    let said = open_pool(&path).err().unwrap().to_string();
    assert!(said.contains("not a superblock"), "{said}");
    let options = ImageOptions::default();
    assert!(matches!(ImagePool::format(&path, &options), Err(Error::PoolExists(_))));
    fs::create_dir(place.at("dir")).unwrap();
    assert!(matches!(open_pool(&place.at("dir")), Err(Error::NoPool(_))));
    assert!(matches!(ImagePool::format(&place.at("dir"), &options), Err(Error::PoolExists(_))));
    // A directory's pool file is no image.
    place.directory("pool");
    let said = open_pool(&place.at("pool/pool.twz")).err().unwrap().to_string();
    assert!(said.contains("directory"), "{said}");
    // An empty file may become one; one that is too small leaves nothing.
    fs::write(place.at("empty"), b"").unwrap();
    ImagePool::format(&place.at("empty"), &options).unwrap();
    let tiny = ImageOptions { size: 4096, ..options };
    assert!(ImagePool::format(&place.at("tiny"), &tiny).is_err());
    assert!(!place.at("tiny").exists());
}

#[test]
fn an_image_that_lost_its_end_is_refused() {
    embedded_only!("it is about images and directories");
    let place = Place::new();
    drop(place.image("image", 4 << 20));
    let file = fs::OpenOptions::new().write(true).open(place.at("image")).unwrap();
    file.set_len(3 << 20).unwrap();
    let said = open_pool(&place.at("image")).err().unwrap().to_string();
    assert!(said.contains("needs"), "{said}");
}

#[test]
fn an_image_made_by_a_newer_version_says_so() {
    embedded_only!("it is about images and directories");
    let place = Place::new();
    drop(place.image("image", 4 << 20));
    let path = place.at("image");
    let good = fs::read(&path).unwrap();
    // (field offset, value, what the refusal says)
    for (at, value, says) in [(8, 2u64, Some("newer")), (32, 4, Some("newer")), (24, 4, None)] {
        let mut bytes = good.clone();
        for slot in [0, 4096] {
            bytes[slot + at..slot + at + 4].copy_from_slice(&(value as u32).to_le_bytes());
            let sum = crc32fast::hash(&bytes[slot..slot + 4092]);
            bytes[slot + 4092..slot + 4096].copy_from_slice(&sum.to_le_bytes());
        }
        fs::write(&path, &bytes).unwrap();
        match (open_pool(&path), says) {
            (Err(error), Some(says)) => assert!(error.to_string().contains(says), "{error}"),
            // What only a writer must know leaves reading.
            (Ok(pool), None) => assert!(pool.info().unwrap().read_only),
            (Ok(_), Some(_)) => panic!("byte {at} was not looked at"),
            (Err(error), None) => panic!("{error}"),
        }
    }
}

#[test]
fn an_image_that_may_not_be_written_is_read() {
    embedded_only!("it is about images and directories");
    let place = Place::new();
    let pool = place.image("image", 4 << 20);
    let id = pool.create(&NewObject { size: 1, ..NewObject::default() }).unwrap();
    drop(pool);
    fs::set_permissions(place.at("image"), fs::Permissions::from_mode(0o444)).unwrap();
    let pool = open_pool(&place.at("image")).unwrap();
    if pool.info().unwrap().read_only {
        assert!(matches!(pool.write(id, 4096, b"x"), Err(Error::ReadOnly)));
    }
    assert_eq!(pool.size(id).unwrap(), 1);
}

#[test]
fn a_full_image_says_so_and_loses_nothing() {
    embedded_only!("it is about images and directories");
    let place = Place::new();
    let pool = place.image("image", 1 << 20);
    let size = 4 << 20;
    let id = pool.create(&NewObject { size, ..NewObject::default() }).unwrap();
    let mut written = 0;
    let said = loop {
        match pool.write(id, 4096 + written * 4096, &[7; 4096]) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(said.to_string().contains("full"), "{said}");
    assert!(written > 50);
    let mut page = [0; 4096];
    for n in 0..written {
        pool.read(id, 4096 + n * 4096, &mut page).unwrap();
        assert_eq!(page, [7; 4096]);
    }
    pool.delete(id).unwrap();
    let id = pool.create(&NewObject { size, ..NewObject::default() }).unwrap();
    pool.write(id, 4096, &[7; 4096]).unwrap();
}

/// A directory with a list over objects, an object with a long FOT, a name
/// entry, a heap, a sealed object and a tree of names.
fn fill(pool: &std::path::Path) -> (Vec<ObjectId>, ObjectId) {
    let space = Space::open(pool).unwrap();
    let list: Vec<_> = (0..20).map(|i| space.create(node(i)).unwrap()).collect();
    for pair in list.windows(2) {
        pair[0].root().next.store(pair[1].root()).unwrap();
    }
    list[19].root().next.store_name("dir/hub", 4096, Rights::READ).unwrap();
    let hub = space.create(Hub { spokes: PtrSlice::empty() }).unwrap();
    let spokes = hub.alloc_slice(300, |_| Ptr::null()).unwrap();
    hub.root().spokes.store(spokes).unwrap();
    for (i, spoke) in spokes.iter().enumerate() {
        let target = space.create(node(1000 + i as u64)).unwrap();
        spoke.store(target.root()).unwrap();
    }
    assert!(list[0].retarget(list[1].id(), list[2].id()).unwrap());
    space.backend().make_dir("dir").unwrap();
    space.backend().make_dir("dir/empty").unwrap();
    space.bind("dir/hub", hub.id()).unwrap();
    space.bind("list", list[0].id()).unwrap();
    space.bind("dir/again", list[0].id()).unwrap();
    let sealed = NewObject { flags: flags::IMMUTABLE, ..NewObject::default() };
    let sealed = space.backend().copy(list[3].id(), &sealed).unwrap();
    (list.iter().map(|object| object.id()).collect(), sealed)
}

fn walk(pool: &std::path::Path, sealed: ObjectId) {
    let space = Space::open(pool).unwrap();
    let head = space.open_name::<Node>("list").unwrap();
    // The first was retargeted from 1 to 2.
    let mut at = head.root();
    for i in (0..20).filter(|&i| i != 1) {
        assert_eq!(at.value.get(), i);
        if i != 19 {
            at = at.next.lea().unwrap();
        }
    }
    let hub = space.open_name::<Hub>("dir/hub").unwrap();
    for (i, spoke) in hub.root().spokes.lea().unwrap().iter().enumerate() {
        assert_eq!(spoke.lea().unwrap().value.get(), 1000 + i as u64);
    }
    // The heap goes on where it was.
    let more = hub.alloc(node(5)).unwrap();
    assert_eq!(more.value.get(), 5);
    let entry = space.create(node(6)).unwrap();
    hub.root().spokes.lea().unwrap()[0].store(entry.root()).unwrap();
    assert_eq!(space.resolve("dir/again").unwrap(), head.id());
    assert_eq!(space.backend().lookup("dir/empty").unwrap(), Binding::Directory);
    let sealed = space.open_object_read::<Node>(sealed).unwrap();
    assert_eq!(sealed.root().value.get(), 3);
}

/// The pool that programs map goes into an image, from there into a directory,
/// and back to where it was.
#[test]
fn a_pool_goes_into_an_image_and_back_and_stays_itself() {
    let (pool, place) = (TempPool::new(), Place::new());
    let (_, sealed) = fill(&pool.path());
    let made = pool.objects();
    let from = pool.backend();
    let image = place.image("image", 16 << 20);
    let mut last = Progress::default();
    let there = transfer::copy_pool(&*from, &image, &mut |progress| {
        assert!(progress.objects_done >= last.objects_done);
        assert!(progress.bytes_done >= last.bytes_done);
        last = progress;
    })
    .unwrap();
    // An earlier test may have left what nobody can delete.
    let all = ids(&*from);
    let (whole, mine) = (all.len() as u64, made.len());
    assert_eq!((there.copied, mine), (whole, 322));
    assert_eq!(last.objects_done, last.objects_total);
    assert_eq!(all, ids(&image));
    drop(image);
    let image = ImagePool::open(&place.at("image"), true).unwrap();
    let back = place.directory("back");
    let summary = transfer::copy_pool(&image, &back, &mut quiet).unwrap();
    assert_eq!((summary.copied, summary.names, summary.bytes), (whole, 5, there.bytes));
    assert_eq!(all, ids(&back));
    // The same to the byte: nothing is left to copy in any direction.
    for (from, to) in [(&*from, &back as &dyn Backend), (&image, &back), (&back, &*from)] {
        let again = transfer::copy_pool(from, to, &mut quiet).unwrap();
        assert_eq!((again.copied, again.unchanged, again.names), (0, whole, 0));
    }
    drop(from);
    drop(pool);
    let pool = TempPool::new();
    let home = pool.backend();
    let returned = transfer::copy_pool(&back, &*home, &mut quiet).unwrap();
    assert_eq!(returned.copied, 322);
    drop(home);
    walk(&pool.path(), sealed);
}

#[test]
fn a_copy_that_was_cut_off_can_be_run_again() {
    embedded_only!("it is about images and directories");
    let place = Place::new();
    let from = place.directory("from");
    fill(&place.at("from"));
    // Too small: the copy ends in the middle.
    let small = place.image("small", 1 << 20);
    let said = transfer::copy_pool(&from, &small, &mut quiet).err().unwrap();
    assert!(said.to_string().contains("full"), "{said}");
    let part = ids(&small);
    assert!(!part.is_empty() && part.len() < 322);
    let whole = ids(&from);
    assert!(part.iter().all(|id| whole.contains(id)), "a scratch object was left behind");
    let image = place.image("image", 16 << 20);
    let first = transfer::copy_pool(&small, &image, &mut quiet).unwrap();
    assert_eq!(first.copied, part.len() as u64);
    let rest = transfer::copy_pool(&from, &image, &mut quiet).unwrap();
    assert_eq!((rest.copied, rest.unchanged), (322 - first.copied, first.copied));
    assert_eq!(ids(&image), whole);
}

#[test]
fn a_target_with_other_contents_is_not_touched() {
    embedded_only!("it is about images and directories");
    let place = Place::new();
    let from = place.directory("from");
    let id = from.create(&NewObject { size: 9000, ..NewObject::default() }).unwrap();
    from.write(id, 4096, b"ours").unwrap();
    from.bind("name", id, false).unwrap();
    let targets: [Box<dyn Backend>; 2] =
        [Box::new(place.image("image", 8 << 20)), Box::new(place.directory("to"))];
    for to in &targets {
        transfer::copy_pool(&from, &**to, &mut quiet).unwrap();
        to.write(id, 4096 + 8999, b"!").unwrap();
        let said = transfer::copy_pool(&from, &**to, &mut quiet).err().unwrap().to_string();
        assert!(said.contains("other contents") && said.contains(&id.to_string()), "{said}");
        let mut bytes = [0];
        to.read(id, 4096 + 8999, &mut bytes).unwrap();
        assert_eq!(&bytes, b"!");
        // And a name that means something else.
        to.write(id, 4096 + 8999, b"\0").unwrap();
        let other = to.create(&NewObject::default()).unwrap();
        to.bind("name", other, true).unwrap();
        let said = transfer::copy_pool(&from, &**to, &mut quiet).err().unwrap();
        assert!(matches!(said, Error::NameTaken(_)), "{said}");
        assert_eq!(to.lookup("name").unwrap(), Binding::Object(other));
    }
}

#[test]
fn names_that_lead_in_a_circle_end_a_copy_no_less() {
    embedded_only!("it is about images and directories");
    let place = Place::new();
    let from = place.directory("from");
    from.make_dir("a").unwrap();
    let id = from.create(&NewObject::default()).unwrap();
    from.bind("a/x", id, false).unwrap();
    for (text, link) in [(".", "a/here"), ("..", "a/up"), ("loop", "loop"), ("/etc", "out")] {
        std::os::unix::fs::symlink(text, place.at("from/names").join(link)).unwrap();
    }
    fs::write(place.at("from/names/file"), b"an ordinary file").unwrap();
    let to = place.image("image", 8 << 20);
    let summary = transfer::copy_pool(&from, &to, &mut quiet).unwrap();
    assert_eq!((summary.copied, summary.names), (2, 3));
    let Binding::Object(file) = to.lookup("file").unwrap() else { panic!("not an object") };
    let mut bytes = [0; 16];
    to.read(file, 4096, &mut bytes).unwrap();
    assert_eq!(&bytes, b"an ordinary file");
}

#[test]
fn a_huge_sparse_object_is_copied_without_its_holes() {
    embedded_only!("it is about images and directories");
    let place = Place::new();
    let from = place.directory("from");
    let size = (1 << 30) - 8192;
    let id = from.create(&NewObject { size, ..NewObject::default() }).unwrap();
    from.write(id, 4096 + (700 << 20) + 17, b"far out").unwrap();
    let image = place.image("image", 4 << 20);
    transfer::copy_pool(&from, &image, &mut quiet).unwrap();
    let back = place.directory("back");
    transfer::copy_pool(&image, &back, &mut quiet).unwrap();
    let stat = back.stat(id).unwrap();
    assert_eq!(stat.size, size);
    assert!(stat.stored < 100_000, "{} bytes are stored", stat.stored);
    let mut bytes = [0; 7];
    back.read(id, 4096 + (700 << 20) + 17, &mut bytes).unwrap();
    assert_eq!(&bytes, b"far out");
}

/// The child of the next test: copies, and dies in the middle of an object.
#[test]
fn child_is_cut_while_copying() {
    let Some(root) = std::env::var_os("TWZ_TEST_CUT_COPY") else { return };
    let root = std::path::Path::new(&root);
    let from = open_pool(&root.join("from")).unwrap();
    let to = open_pool(&root.join("to")).unwrap();
    let mut before = Progress::default();
    let _ = transfer::copy_pool(&*from, &*to, &mut |progress| {
        let inside = progress.objects_done == before.objects_done;
        if progress.objects_done == 9 && inside && progress.bytes_done != before.bytes_done {
            std::process::abort();
        }
        before = progress;
    });
    panic!("it was to die on the way");
}

#[test]
fn a_copy_that_was_killed_can_be_run_again() {
    embedded_only!("it is about images and directories");
    for home in ["directory", "image"] {
        let place = Place::new();
        let from = place.directory("from");
        for i in 0..20u8 {
            let id = from.create(&NewObject { size: 3 << 20, ..NewObject::default() }).unwrap();
            from.write(id, 4096 + (1 << 20), &vec![i; 1 << 20]).unwrap();
        }
        match home {
            "image" => drop(place.image("to", 64 << 20)),
            _ => drop(place.directory("to")),
        }
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_is_cut_while_copying", "--nocapture"])
            .env("TWZ_TEST_CUT_COPY", place.0.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stderr);
        assert!(!said.contains("it was to die"), "{said}");
        let to = open_pool(&place.at("to")).unwrap();
        let whole = ids(&from);
        let part = ids(&*to).iter().filter(|id| whole.contains(id)).count();
        assert_eq!(part, 9, "{home}: {said}");
        let rest = transfer::copy_pool(&from, &*to, &mut quiet).unwrap();
        assert_eq!((rest.copied, rest.unchanged), (11, 9));
        assert_eq!(ids(&*to), whole, "{home}");
        drop(to);
        let options = twz::check::Options::default();
        let mut found = Vec::new();
        let summary = twz::check::check(&place.at("to"), &options, &mut |_| {}, &mut |problem| {
            found.push(problem);
        });
        let summary = summary.unwrap();
        assert_eq!((summary.errors, summary.warnings), (0, 0), "{home}: {found:?}");
    }
}

#[test]
fn a_target_that_may_not_be_written_is_refused_at_once() {
    embedded_only!("it is about images and directories");
    let place = Place::new();
    let from = place.directory("from");
    let id = from.create(&NewObject::default()).unwrap();
    let mut file = Vec::new();
    twz::bundle::export(&from, id, &mut file, &mut |_, _| {}).unwrap();
    drop(place.image("to", 4 << 20));
    let to = ImagePool::open(&place.at("to"), true).unwrap();
    assert!(matches!(transfer::copy_pool(&from, &to, &mut quiet), Err(Error::ReadOnly)));
    let said = twz::bundle::import(&to, &mut &file[..], &mut |_, _| {});
    assert!(matches!(said, Err(Error::ReadOnly)));
    // A directory whose pool file is not writable.
    drop(place.directory("other"));
    let path = place.at("other/pool.twz");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let other = open_pool(&place.at("other")).unwrap();
    if other.info().unwrap().read_only {
        assert!(matches!(transfer::copy_pool(&from, &*other, &mut quiet), Err(Error::ReadOnly)));
        assert!(matches!(other.create(&NewObject::default()), Err(Error::ReadOnly)));
    }
}

#[test]
fn an_empty_image_is_filled_without_waiting_and_then_waits() {
    embedded_only!("it is about images and directories");
    let place = Place::new();
    let from = place.directory("from");
    let id = from.create(&NewObject { size: 4096, ..NewObject::default() }).unwrap();
    from.write(id, 4096, &[7; 4096]).unwrap();
    drop(place.image("image", 16 << 20));
    for copied in [1, 0] {
        // The second time it is not empty any more.
        let image = twz::pools::open_to_fill(&place.at("image")).unwrap();
        assert_eq!(transfer::copy_pool(&from, &*image, &mut quiet).unwrap().copied, copied);
        image.sync(id).unwrap();
        image.write(id, 4096, &[7; 1]).unwrap();
    }
    let directory = twz::pools::open_to_fill(&place.at("from")).unwrap();
    assert_eq!(directory.info().unwrap().home, "directory");
    let nothing = twz::pools::open_to_fill(&place.at("nothing"));
    assert!(matches!(nothing, Err(Error::NoPool(_))));
}
