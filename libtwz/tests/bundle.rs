// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects as files: what goes out comes in the same, and what was cut, flipped
//! or made up does not come in at all.

mod common;

use std::{fs, path::Path};

use common::TempPool;
use twz::{
    Backend, EmbeddedPool, Error, Field, ImageOptions, ImagePool, InitOptions, NewObject, ObjectId,
    Persist, Ptr, PtrSlice, Rights, Space, bundle, flags, security::KeyPair,
};

#[derive(Persist)]
#[repr(C)]
struct Node {
    value: Field<u64>,
    next: Ptr<Node>,
}

#[derive(Persist)]
#[repr(C)]
struct Hub {
    spokes: PtrSlice<Ptr<Node>>,
}

fn node(value: u64) -> Node {
    Node { value: Field::new(value), next: Ptr::null() }
}

fn directory(at: &Path) -> EmbeddedPool {
    EmbeddedPool::init(at, &InitOptions::default()).unwrap();
    EmbeddedPool::open(at).unwrap()
}

fn image(at: &Path) -> ImagePool {
    let options = ImageOptions { size: 8 << 20, records: Some(256), ..ImageOptions::default() };
    ImagePool::format(at, &options).unwrap();
    ImagePool::open_unsynced(at).unwrap()
}

fn export(pool: &dyn Backend, id: ObjectId) -> Vec<u8> {
    let mut out = Vec::new();
    bundle::export(pool, id, &mut out, &mut |done, total| assert!(done <= total)).unwrap();
    out
}

fn import(pool: &dyn Backend, mut bytes: &[u8]) -> twz::Result<ObjectId> {
    bundle::import(pool, &mut bytes, &mut |done, total| assert!(done <= total))
}

fn count(pool: &dyn Backend) -> usize {
    let mut count = 0;
    pool.list(&mut |_| {
        count += 1;
        Ok(())
    })
    .unwrap();
    count
}

/// Files of a directory pool that belong to objects or to nothing yet.
fn files(pool: &Path) -> usize {
    fn below(dir: &Path) -> usize {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| match entry.file_type().unwrap().is_dir() {
                true => below(&entry.path()),
                false => 1,
            })
            .sum()
    }
    below(&pool.join("objects")) + below(&pool.join("tmp"))
}

/// The object with everything: a long FOT, a heap, a name, a retarget.
fn hub(pool: &TempPool) -> (ObjectId, Vec<ObjectId>) {
    let space = pool.open();
    let hub = space.create(Hub { spokes: PtrSlice::empty() }).unwrap();
    let spokes = hub.alloc_slice(200, |_| Ptr::null()).unwrap();
    hub.root().spokes.store(spokes).unwrap();
    let mut ids = Vec::new();
    for (i, spoke) in spokes.iter().enumerate() {
        let target = space.create(node(i as u64)).unwrap();
        spoke.store(target.root()).unwrap();
        ids.push(target.id());
    }
    assert!(hub.retarget(ids[0], ids[1]).unwrap());
    spokes[199].store_name("some/name", 4096, Rights::READ).unwrap();
    (hub.id(), ids)
}

#[test]
fn an_object_comes_in_as_it_went_out_in_every_home() {
    let pool = TempPool::new();
    let (id, spokes) = hub(&pool);
    let from = pool.backend();
    let file = export(&*from, id);
    let bundles: Vec<_> = spokes[..3].iter().map(|&spoke| export(&*from, spoke)).collect();
    drop((from, pool));
    // The same one again, empty, if it is the kernel's.
    let pool = TempPool::new();
    let targets: [Box<dyn Backend>; 2] =
        [Box::new(image(&pool.dir().join("image"))), pool.backend()];
    for to in &targets {
        assert_eq!(import(&**to, &file).unwrap(), id);
        assert_eq!(export(&**to, id), file);
        assert!(matches!(import(&**to, &file), Err(Error::Exists(there)) if there == id));
        for (spoke, bundle) in spokes.iter().zip(&bundles) {
            assert_eq!(import(&**to, bundle).unwrap(), *spoke);
        }
    }
    assert_eq!((count(&*targets[0]), pool.objects().len()), (4, 4));
    drop(targets);
    let space = pool.open();
    let hub = space.open_object::<Hub>(id).unwrap();
    let slice = hub.root().spokes.lea().unwrap();
    // The first was retargeted to the second.
    for (i, value) in [(0, 1), (1, 1), (2, 2)] {
        assert_eq!(slice[i].lea().unwrap().value.get(), value);
    }
    assert!(matches!(slice[3].lea(), Err(Error::NoObject(to)) if to == spokes[3]));
    // The FOT and the heap go on growing.
    let more = space.create(node(77)).unwrap();
    slice[3].store(more.root()).unwrap();
    assert_eq!(slice[3].lea().unwrap().value.get(), 77);
    assert_eq!(hub.alloc(node(5)).unwrap().value.get(), 5);
}

#[test]
fn holes_take_no_room() {
    embedded_only!("it is about images and directories");
    let dir = tempfile::tempdir().unwrap();
    let from = directory(&dir.path().join("from"));
    let size = (1 << 30) - 8192;
    let id = from.create(&NewObject { size, ..NewObject::default() }).unwrap();
    from.write(id, 4096 + size - 3, b"end").unwrap();
    from.write(id, 4096 + 5000, b"begin").unwrap();
    let file = export(&from, id);
    assert!(file.len() < 10_000, "{} bytes", file.len());
    let to = directory(&dir.path().join("to"));
    import(&to, &file).unwrap();
    let stat = to.stat(id).unwrap();
    assert_eq!(stat.size, size);
    assert!(stat.stored < 50_000, "{} bytes are stored", stat.stored);
    let mut bytes = [0; 3];
    to.read(id, 4096 + size - 3, &mut bytes).unwrap();
    assert_eq!(&bytes, b"end");
}

#[test]
fn an_empty_object_and_one_of_odd_size() {
    embedded_only!("it is about images and directories");
    let dir = tempfile::tempdir().unwrap();
    let from = directory(&dir.path().join("from"));
    let to = image(&dir.path().join("image"));
    for size in [0, 1, 4095, 4096, 4097, (1 << 20) + 1, (2 << 20) + 4096] {
        let id = from.create(&NewObject { size, ..NewObject::default() }).unwrap();
        for at in [0, size / 2, size.saturating_sub(1)].into_iter().filter(|&at| at < size) {
            from.write(id, 4096 + at, b"x").unwrap();
        }
        let file = export(&from, id);
        assert_eq!(import(&to, &file).unwrap(), id);
        assert_eq!(export(&to, id), file);
    }
}

/// A small sealed object with an FOT of two entries, exported.
fn sealed(at: &Path) -> (ObjectId, Vec<u8>) {
    EmbeddedPool::init(at, &InitOptions::default()).unwrap();
    let space = Space::open(at).unwrap();
    let holder = space.create(node(1)).unwrap();
    let other = space.create(node(2)).unwrap();
    holder.root().next.store(other.root()).unwrap();
    holder.root().next.store_global(other.global(), Rights::READ).unwrap();
    let new = NewObject { flags: flags::IMMUTABLE, ..NewObject::default() };
    let id = space.backend().copy(holder.id(), &new).unwrap();
    (id, export(space.backend(), id))
}

#[test]
fn no_cut_and_no_flipped_bit_comes_in() {
    embedded_only!("it is about images and directories");
    let dir = tempfile::tempdir().unwrap();
    let (_, file) = sealed(&dir.path().join("from"));
    let root = dir.path().join("to");
    let to = directory(&root);
    let image = image(&dir.path().join("image"));
    let before = image.info().unwrap().free;
    let refused = |bytes: &[u8], what: &str| {
        for pool in [&to as &dyn Backend, &image] {
            let said = import(pool, bytes).err().unwrap_or_else(|| panic!("{what} came in"));
            assert!(matches!(said, Error::Format { .. } | Error::BadId(_)), "{what}: {said}");
        }
    };
    for len in 0..file.len() {
        refused(&file[..len], &format!("a file cut to {len}"));
    }
    for bit in 0..file.len() * 8 {
        let mut bad = file.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        refused(&bad, &format!("bit {bit}"));
    }
    refused(&[&file[..], b"x"].concat(), "a longer file");
    assert_eq!((count(&to), files(&root)), (0, 0));
    assert_eq!((count(&image), image.info().unwrap().free), (0, before));
    import(&to, &file).unwrap();
    import(&image, &file).unwrap();
}

/// Changes bytes, and makes the checksum right again.
fn forge(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut forged = file.to_vec();
    forged[at..at + bytes.len()].copy_from_slice(bytes);
    let end = forged.len() - 8;
    let sum = crc32fast::hash(&forged[..end]);
    forged[end..].copy_from_slice(&(sum as u64).to_le_bytes());
    forged
}

fn forge_meta(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut forged = forge(file, 8 + at, bytes);
    let sum = crc32fast::hash(&forged[8..8 + 124]);
    forged = forge(&forged, 8 + 124, &sum.to_le_bytes());
    forged
}

#[test]
fn what_was_made_up_is_refused() {
    embedded_only!("it is about images and directories");
    let dir = tempfile::tempdir().unwrap();
    let (id, file) = sealed(&dir.path().join("from"));
    let root = dir.path().join("to");
    let to = directory(&root);
    let image = image(&dir.path().join("image"));
    let (fot, runs) = (528, 528 + 2 * 32);
    let data = runs + 16;
    let huge = u64::MAX.to_le_bytes();
    let far = (64u64 << 20).to_le_bytes();
    let cases: [(&str, Vec<u8>); 17] = [
        ("other rights", forge_meta(&file, 20, &3u32.to_le_bytes())),
        ("an owner", forge_meta(&file, 64, &[1; 16])),
        ("not immutable", forge_meta(&file, 16, &0u32.to_le_bytes())),
        ("another id", forge_meta(&file, 32, &[9; 16])),
        ("a newer version", forge_meta(&file, 8, &2u32.to_le_bytes())),
        ("a size", forge(&file, 8 + 128, &huge)),
        ("another size", forge(&file, 8 + 128, &far)),
        ("bounds that meet", forge(&file, 8 + 136, &huge)),
        ("a heap outside", forge(&file, 8 + 144, &huge)),
        ("other data", forge(&file, data, b"!")),
        ("too many entries", forge(&file, 520, &(1u64 << 40).to_le_bytes())),
        ("entries beyond the table", forge(&file, 520, &113u64.to_le_bytes())),
        ("an entry with nothing", forge(&file, fot, &[0; 32])),
        ("an entry of no kind", forge(&file, fot + 17, &[9])),
        ("an alias outside", forge(&file, fot + 32 + 20, &9u32.to_le_bytes())),
        ("a run outside", forge(&file, runs, &far)),
        ("a run too long", forge(&file, runs + 8, &huge)),
    ];
    for (what, bytes) in cases {
        for pool in [&to as &dyn Backend, &image] {
            let said = import(pool, &bytes).err().unwrap_or_else(|| panic!("{what} came in"));
            assert!(matches!(said, Error::Format { .. } | Error::BadId(_)), "{what}: {said}");
        }
    }
    assert_eq!((count(&to), files(&root), count(&image)), (0, 0, 0));
    assert_eq!(import(&to, &forge(&file, 0, &[])).unwrap(), id);
}

#[test]
fn runs_that_overlap_or_go_back_are_refused() {
    embedded_only!("it is about images and directories");
    let dir = tempfile::tempdir().unwrap();
    let from = directory(&dir.path().join("from"));
    let id = from.create(&NewObject { size: 3 * 4096, ..NewObject::default() }).unwrap();
    for page in [0, 2] {
        from.write(id, 4096 + page * 4096, b"x").unwrap();
    }
    let file = export(&from, id);
    let second = 528 + 16 + 4096;
    assert_eq!(file[second..second + 8], 8192u64.to_le_bytes());
    let to = directory(&dir.path().join("to"));
    for at in [0u64, 4095, 8193] {
        let said = import(&to, &forge(&file, second, &at.to_le_bytes())).err().unwrap();
        assert!(matches!(said, Error::Format { .. }), "{said}");
    }
    assert_eq!(count(&to), 0);
    import(&to, &forge(&file, second, &4096u64.to_le_bytes())).unwrap();
}

#[test]
fn a_full_image_takes_nothing_in_by_halves() {
    embedded_only!("it is about images and directories");
    let dir = tempfile::tempdir().unwrap();
    let from = directory(&dir.path().join("from"));
    let id = from.create(&NewObject { size: 4 << 20, ..NewObject::default() }).unwrap();
    from.write(id, 4096, &vec![7; 4 << 20]).unwrap();
    let file = export(&from, id);
    let path = dir.path().join("image");
    let options = ImageOptions { size: 2 << 20, ..ImageOptions::default() };
    ImagePool::format(&path, &options).unwrap();
    let to = ImagePool::open_unsynced(&path).unwrap();
    let before = to.info().unwrap().free;
    let said = import(&to, &file).err().unwrap();
    assert!(said.to_string().contains("full"), "{said}");
    assert_eq!((count(&to), to.info().unwrap().free), (0, before));
}

#[test]
fn a_writer_that_fails_is_told() {
    embedded_only!("it is about images and directories");
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from_raw_os_error(libc::ENOSPC))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let from = directory(&dir.path().join("from"));
    let id = from.create(&NewObject::default()).unwrap();
    let said = bundle::export(&from, id, &mut Full, &mut |_, _| {}).err().unwrap();
    assert!(said.to_string().contains("full"), "{said}");
    assert_eq!(said.errno(), libc::ENOSPC);
}

/// The child of the next test: imports with files limited to 1 MiB.
#[test]
fn child_fills_the_disk() {
    let Some(root) = std::env::var_os("TWZ_TEST_DISK_FULL") else { return };
    let root = Path::new(&root);
    let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
    // SAFETY: sets a limit and a signal's disposition of this process alone.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
    let to = EmbeddedPool::open(&root.join("to")).unwrap();
    let file = fs::read(root.join("file")).unwrap();
    let said = import(&to, &file).err().unwrap();
    assert!(matches!(said, Error::Io { .. }), "{said}");
    assert_eq!(said.errno(), libc::EFBIG);
    assert_eq!((count(&to), files(&root.join("to"))), (0, 0));
}

#[test]
fn a_directory_with_no_room_takes_nothing_in_by_halves() {
    embedded_only!("it is about images and directories");
    let dir = tempfile::tempdir().unwrap();
    let from = directory(&dir.path().join("from"));
    let id = from.create(&NewObject { size: 4 << 20, ..NewObject::default() }).unwrap();
    from.write(id, 4096, &vec![7; 4 << 20]).unwrap();
    fs::write(dir.path().join("file"), export(&from, id)).unwrap();
    directory(&dir.path().join("to"));
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_fills_the_disk", "--nocapture"])
        .env("TWZ_TEST_DISK_FULL", dir.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
}

/// What was revoked here is revoked wherever it goes, and comes back so.
#[test]
fn an_epoch_travels() {
    embedded_only!("it is about images and directories");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    EmbeddedPool::init(&path, &InitOptions::default()).unwrap();
    let space = Space::open(&path).unwrap();
    let key = KeyPair::generate().unwrap();
    let owner = key.publish(space.backend()).unwrap();
    let new = NewObject { owner, size: 100, ..NewObject::default() };
    let id = space.backend().create(&new).unwrap();
    space.revoke(id, 7, &key).unwrap();
    let image = image(&dir.path().join("b"));
    let back = directory(&dir.path().join("c"));
    let mut bytes = Vec::new();
    bundle::export(space.backend(), id, &mut bytes, &mut |_, _| ()).unwrap();
    bundle::import(&image, &mut &bytes[..], &mut |_, _| ()).unwrap();
    assert_eq!(image.stat(id).unwrap().epoch, 7);
    bytes.clear();
    bundle::export(&image, id, &mut bytes, &mut |_, _| ()).unwrap();
    bundle::import(&back, &mut &bytes[..], &mut |_, _| ()).unwrap();
    assert_eq!(back.stat(id).unwrap().epoch, 7);
}
