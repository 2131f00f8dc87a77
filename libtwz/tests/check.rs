// SPDX-License-Identifier: MIT OR Apache-2.0
//! Damage: a check finds it or it does no harm, and a repair mends what has a
//! second copy.

mod common;

use std::{
    fs,
    os::unix::fs::{FileExt as _, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use twz::{
    Backend, Binding, EmbeddedPool, Error, Field, ImageOptions, ImagePool, InitOptions, NewObject,
    ObjectId, Persist, Ptr, PtrSlice, Rights, Space, bundle,
    check::{self, Options, Problem, Severity, Summary},
    flags, graph,
};

#[derive(Persist)]
#[repr(C)]
struct Node {
    value: Field<u64>,
    next: Ptr<Node>,
    other: Ptr<Node>,
}

#[derive(Persist)]
#[repr(C)]
struct Hub {
    spokes: PtrSlice<Ptr<Node>>,
}

fn node(value: u64) -> Node {
    Node { value: Field::new(value), next: Ptr::null(), other: Ptr::null() }
}

fn run(path: &Path, repair: bool) -> twz::Result<(Summary, Vec<Problem>)> {
    let mut problems = Vec::new();
    let summary = check::check(
        path,
        &Options { repair },
        &mut |progress| assert!(progress.done <= progress.total),
        &mut |problem| problems.push(problem),
    )?;
    Ok((summary, problems))
}

/// What is wrong, as far as it matters.
fn wrong(path: &Path) -> Vec<Problem> {
    let mut problems = run(path, false).unwrap().1;
    problems.retain(|problem| problem.severity > Severity::Info);
    problems
}

fn mended(path: &Path) {
    let (summary, problems) = run(path, true).unwrap();
    assert!(summary.repaired > 0, "{problems:?}");
    assert_eq!((summary.errors, summary.warnings), (0, 0), "{problems:?}");
    assert_eq!(wrong(path).len(), 0, "{:?}", wrong(path));
}

struct Pool {
    dir: tempfile::TempDir,
    holder: ObjectId,
    hub: ObjectId,
    sealed: ObjectId,
}

impl Pool {
    fn path(&self) -> PathBuf {
        self.dir.path().join("pool")
    }

    fn tail(&self, id: ObjectId) -> PathBuf {
        let id = id.to_string();
        self.path().join("objects").join(&id[..2]).join(format!("{id}.tail"))
    }

    fn data(&self, id: ObjectId) -> PathBuf {
        self.tail(id).with_extension("")
    }
}

/// A pool with one of everything.
fn pool() -> Pool {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pool");
    EmbeddedPool::init(&path, &InitOptions::default()).unwrap();
    let space = Space::open(&path).unwrap();
    let [holder, b, c] = [1, 2, 3].map(|i| space.create(node(i)).unwrap());
    holder.root().next.store(b.root()).unwrap();
    holder.root().next.store_global(b.global(), Rights::READ).unwrap();
    holder.root().other.store(c.root()).unwrap();
    assert!(holder.retarget(c.id(), b.id()).unwrap());
    holder.root().other.store_name("dir/b", 4096, Rights::READ).unwrap();
    let hub = space.create(Hub { spokes: PtrSlice::empty() }).unwrap();
    let spokes = hub.alloc_slice(300, |_| Ptr::null()).unwrap();
    hub.root().spokes.store(spokes).unwrap();
    for (i, spoke) in spokes.iter().enumerate() {
        let id = ObjectId::from_u128((i as u128 + 1) << 64 | 7);
        spoke.store_global(twz::Global { id, offset: 4096 }, Rights::READ).unwrap();
    }
    space.backend().make_dir("dir").unwrap();
    space.bind("dir/b", b.id()).unwrap();
    space.bind("holder", holder.id()).unwrap();
    let new = NewObject { flags: flags::IMMUTABLE, ..NewObject::default() };
    let sealed = space.backend().copy(b.id(), &new).unwrap();
    let (holder, hub) = (holder.id(), hub.id());
    Pool { dir, holder, hub, sealed }
}

fn flip(path: &Path, bit: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8).unwrap();
    byte[0] ^= 1 << (bit % 8);
    file.write_all_at(&byte, bit / 8).unwrap();
}

#[test]
fn a_good_pool_has_no_problems() {
    embedded_only!("it is about files that hold a pool");
    let pool = pool();
    let (summary, problems) = run(&pool.path(), false).unwrap();
    assert_eq!(summary.objects, 5);
    assert!(summary.is_clean());
    // The hub's spokes lead to nothing here, which is no damage.
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].severity, Severity::Info);
    assert!(problems[0].what.ends_with("not here: 300"));
    let (summary, _) = run(&pool.path(), true).unwrap();
    assert_eq!(summary.repaired, 0);
}

#[test]
fn what_is_no_pool_is_an_error() {
    embedded_only!("it is about files that hold a pool");
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(run(dir.path(), false), Err(Error::NoPool(_))));
    assert!(matches!(run(&dir.path().join("nothing"), false), Err(Error::NoPool(_))));
    fs::write(dir.path().join("file"), vec![1; 9000]).unwrap();
    assert!(matches!(run(&dir.path().join("file"), false), Err(Error::Format { .. })));
}

#[test]
fn every_flipped_bit_of_a_superblock_is_found_and_mended() {
    embedded_only!("it is about files that hold a pool");
    let pool = pool();
    let file = pool.path().join("pool.twz");
    let good = fs::read(&file).unwrap();
    for slot in [0, 4096] {
        for bit in (0..4096 * 8).step_by(61) {
            flip(&file, slot * 8 + bit);
            assert_eq!(wrong(&pool.path()).len(), 1, "bit {bit}");
            EmbeddedPool::open(&pool.path()).unwrap();
            if bit % 7 == 0 {
                mended(&pool.path());
            }
            fs::write(&file, &good).unwrap();
        }
    }
    for bit in 0..64 {
        flip(&file, 8192 * 8 + bit);
        assert_eq!(wrong(&pool.path()).len(), 1);
        assert!(EmbeddedPool::open(&pool.path()).is_err());
        mended(&pool.path());
        EmbeddedPool::open(&pool.path()).unwrap();
    }
}

#[test]
fn a_cut_pool_file_is_found() {
    embedded_only!("it is about files that hold a pool");
    let pool = pool();
    let file = pool.path().join("pool.twz");
    let good = fs::read(&file).unwrap();
    for len in (0..good.len()).step_by(64) {
        fs::write(&file, &good[..len]).unwrap();
        assert_ne!(wrong(&pool.path()).len(), 0, "cut to {len}");
        if len >= 4096 {
            mended(&pool.path());
            EmbeddedPool::open(&pool.path()).unwrap();
        }
    }
}

#[test]
fn a_newer_pool_is_left_alone() {
    embedded_only!("it is about files that hold a pool");
    let pool = pool();
    let file = pool.path().join("pool.twz");
    let mut bytes = fs::read(&file).unwrap();
    bytes[8] = 2;
    let sum = crc32fast::hash(&bytes[..4092]);
    bytes[4092..4096].copy_from_slice(&sum.to_le_bytes());
    fs::write(&file, &bytes).unwrap();
    for repair in [false, true] {
        let said = run(&pool.path(), repair).err().unwrap().to_string();
        assert!(said.contains("newer"), "{said}");
    }
    assert_eq!(fs::read(&file).unwrap(), bytes);
}

/// Where a flipped bit of a tail page changes something that no sum covers and
/// that does no harm: the count of retargets, a lock that nobody alive has, a log
/// that no place in it goes with, and the words of an entry that was never
/// finished, which nobody reads.
fn is_uncovered(good: &[u8], bit: u64) -> bool {
    let byte = (bit / 8) as usize;
    const META: usize = 4096 - 512;
    if byte >= META {
        return (META + 152..META + 184).contains(&byte);
    }
    let at = byte % 32;
    good[byte / 32 * 32 + 16] == 0 && !(16..24).contains(&at)
}

#[test]
fn every_flipped_bit_of_a_tail_is_found_or_does_no_harm() {
    embedded_only!("it is about files that hold a pool");
    let pool = pool();
    let path = pool.path();
    let tail = pool.tail(pool.holder);
    let good = fs::read(&tail).unwrap();
    let before = {
        let pool_now = EmbeddedPool::open(&path).unwrap();
        graph::references(&pool_now, pool.holder).unwrap()
    };
    let (mut found, mut harmless) = (0, 0);
    for bit in 0..4096 * 8 {
        // The empty part of the table is the same everywhere.
        if (64..110 * 32).contains(&(bit / 8)) && bit % 13 != 0 {
            continue;
        }
        flip(&tail, bit);
        let told = run(&path, false).unwrap().1;
        // A size that is not the file's is told, and taken for a program's doing.
        let resized = told.iter().any(|told| told.what.contains("made longer or shorter"));
        if resized || told.iter().any(|told| told.severity > Severity::Info) {
            found += 1;
        } else {
            assert!(is_uncovered(&good, bit), "bit {bit} of byte {} is not seen", bit / 8);
            harmless += 1;
            let pool_now = EmbeddedPool::open(&path).unwrap();
            let now = graph::references(&pool_now, pool.holder).unwrap();
            if good[(bit / 8) as usize / 32 * 32 + 16] == 0 {
                assert_eq!(now, before, "bit {bit}");
            }
        }
        fs::write(&tail, &good).unwrap();
    }
    assert!(found > 4000 && harmless > 50, "{found} found, {harmless} not");
}

#[test]
fn a_cut_tail_is_found() {
    embedded_only!("it is about files that hold a pool");
    let pool = pool();
    for id in [pool.holder, pool.hub] {
        let tail = pool.tail(id);
        let good = fs::read(&tail).unwrap();
        for len in (0..good.len()).step_by(64) {
            fs::write(&tail, &good[..len]).unwrap();
            assert_ne!(wrong(&pool.path()).len(), 0, "cut to {len}");
        }
        fs::write(&tail, &good).unwrap();
    }
}

#[test]
fn every_flipped_bit_of_a_sealed_object_is_found() {
    embedded_only!("it is about files that hold a pool");
    let pool = pool();
    for path in [pool.data(pool.sealed), pool.tail(pool.sealed)] {
        let mut mode = fs::metadata(&path).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o644);
        fs::set_permissions(&path, mode).unwrap();
    }
    let data = pool.data(pool.sealed);
    let good = fs::read(&data).unwrap();
    for bit in 0..good.len() as u64 * 8 {
        flip(&data, bit);
        let problems = wrong(&pool.path());
        assert_eq!(problems.len(), 1, "bit {bit}");
        assert_eq!(problems[0].severity, Severity::Error);
        assert!(problems[0].where_.contains(&pool.sealed.to_string()));
        fs::write(&data, &good).unwrap();
    }
    for len in 0..good.len() {
        fs::write(&data, &good[..len]).unwrap();
        assert!(!run(&pool.path(), false).unwrap().0.is_clean(), "cut to {len}");
    }
}

fn set_meta(tail: &Path, at: u64, word: u64) {
    let file = fs::OpenOptions::new().write(true).open(tail).unwrap();
    file.write_all_at(&word.to_le_bytes(), 4096 - 512 + at).unwrap();
}

#[test]
fn sizes_and_bounds_are_mended_from_the_files() {
    embedded_only!("it is about files that hold a pool");
    let pool = pool();
    let before = {
        let now = EmbeddedPool::open(&pool.path()).unwrap();
        graph::references(&now, pool.hub).unwrap()
    };
    assert_eq!(before.len(), 300);
    let size = fs::metadata(pool.data(pool.hub)).unwrap().len();
    let pages = size.div_ceil(4096);
    let fot = 3u64 << 32;
    let cases = [
        (128, 0),
        (128, u64::MAX),
        (128, size + 1),
        (136, fot),
        (136, pages),
        (136, 1 << 32 | pages),
        (136, 2 << 32 | pages),
        (136, 7 << 32 | pages),
        (136, u64::MAX),
        (136, 0xffff_ffff << 32),
    ];
    for (at, word) in cases {
        set_meta(&pool.tail(pool.hub), at, word);
        // A size that differs is what any program may bring about; the rest is not.
        let told = !(at == 128 && word <= size + 1);
        assert_eq!(wrong(&pool.path()).len(), told as usize, "{word:#x} at {at}");
        mended(&pool.path());
        let now = EmbeddedPool::open(&pool.path()).unwrap();
        assert_eq!(graph::references(&now, pool.hub).unwrap(), before, "{word:#x} at {at}");
        assert_eq!(now.stat(pool.hub).unwrap().size, size);
    }
    // An ordinary program made the file longer.
    let file = fs::OpenOptions::new().write(true).open(pool.data(pool.hub)).unwrap();
    file.set_len(size + 10_000).unwrap();
    assert!(wrong(&pool.path()).is_empty());
    mended(&pool.path());
}

#[test]
fn names_that_lead_nowhere_are_told() {
    embedded_only!("it is about files that hold a pool");
    let pool = pool();
    let names = pool.path().join("names");
    for (text, link) in [
        ("loop", "loop"),
        ("/etc", "abs"),
        ("../objects", "out"),
        ("nowhere", "gone"),
        ("..", "dir/up"),
    ] {
        symlink(text, names.join(link)).unwrap();
    }
    symlink("b", names.join("dir/good")).unwrap();
    symlink(".", names.join("dir/here")).unwrap();
    // Programs make such links, and may.
    assert!(wrong(&pool.path()).is_empty());
    let mut problems = run(&pool.path(), false).unwrap().1;
    problems.retain(|problem| problem.what.contains("symbolic link"));
    let mut places: Vec<_> = problems.iter().map(|problem| problem.where_.as_str()).collect();
    places.sort();
    assert_eq!(places, ["names/abs", "names/gone", "names/loop", "names/out"]);
    let of =
        |place: &str| problems.iter().find(|problem| problem.where_ == place).unwrap().what.clone();
    assert!(of("names/loop").contains("circle"));
    assert!(of("names/abs").contains("out of the pool"));
    assert!(of("names/out").contains("out of the pool"));
    assert!(of("names/gone").contains("nothing"));
}

#[test]
fn the_map_of_inodes_is_mended_from_the_objects() {
    embedded_only!("it is about files that hold a pool");
    let pool = pool();
    let inodes = pool.path().join("inodes");
    let entries = || -> Vec<PathBuf> {
        let mut entries: Vec<_> =
            fs::read_dir(&inodes).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries
    };
    let good = entries();
    assert_eq!(good.len(), 2);
    let text = fs::read_link(&good[0]).unwrap();
    for bad in ["", "nonsense", &format!("{}-{}", pool.hub, pool.hub)] {
        fs::remove_file(&good[0]).unwrap();
        if !bad.is_empty() {
            symlink(bad, &good[0]).unwrap();
        }
        assert!(wrong(&pool.path()).iter().any(|problem| problem.severity == Severity::Error));
        mended(&pool.path());
        assert_eq!(fs::read_link(&good[0]).unwrap(), text);
    }
    symlink(&text, inodes.join("999999999")).unwrap();
    fs::write(inodes.join("what"), b"x").unwrap();
    assert_eq!(wrong(&pool.path()).len(), 2);
    mended(&pool.path());
    assert_eq!(entries(), good);
    // One that lost its last name keeps its entry, and that is in order.
    let open = EmbeddedPool::open(&pool.path()).unwrap();
    open.unbind("holder").unwrap();
    assert_eq!(entries().len(), 2);
    assert_eq!(wrong(&pool.path()).len(), 0);
    assert!(matches!(open.lookup("dir/b").unwrap(), Binding::Object(_)));
}

#[test]
fn a_damaged_tail_does_not_cost_the_name() {
    embedded_only!("it is about files that hold a pool");
    let pool = pool();
    let tail = pool.tail(pool.holder);
    let good = fs::read(&tail).unwrap();
    // The nonce: the record fails its sum, and inodes/ is not judged by it.
    flip(&tail, (4096 - 512 + 48) * 8);
    let (summary, problems) = run(&pool.path(), true).unwrap();
    assert_eq!((summary.errors, summary.repaired), (1, 0), "{problems:?}");
    fs::write(&tail, &good).unwrap();
    assert_eq!(wrong(&pool.path()).len(), 0);
    let open = EmbeddedPool::open(&pool.path()).unwrap();
    assert_eq!(open.lookup("holder").unwrap(), Binding::Object(pool.holder));
}

#[test]
fn leftovers_and_strays_are_told() {
    embedded_only!("it is about files that hold a pool");
    let pool = pool();
    let path = pool.path();
    let old = SystemTime::now() - Duration::from_secs(7200);
    let make = |name: &str| {
        let file = fs::File::create(path.join(name)).unwrap();
        file.set_modified(old).unwrap();
    };
    // No process has this number.
    make("tmp/4194305-0-0");
    make(&format!("tmp/{}-0-0", std::process::id()));
    assert_eq!(wrong(&path).len(), 1);
    mended(&path);
    assert_eq!(fs::read_dir(path.join("tmp")).unwrap().count(), 1);
    make("objects/stray");
    let sub = pool.data(pool.hub).parent().unwrap().to_path_buf();
    fs::write(sub.join("stray"), b"x").unwrap();
    fs::write(sub.join(pool.hub.to_string().to_uppercase() + ".tail"), b"x").unwrap();
    assert_eq!(wrong(&path).len(), 3);
    fs::remove_file(sub.join("stray")).unwrap();
    fs::remove_file(sub.join(pool.hub.to_string().to_uppercase() + ".tail")).unwrap();
    fs::remove_file(path.join("objects/stray")).unwrap();
    // Data without a tail, and a tail without data: nothing is deleted.
    let kept = fs::read(pool.tail(pool.hub)).unwrap();
    fs::remove_file(pool.tail(pool.hub)).unwrap();
    let problems = run(&path, true).unwrap().1;
    assert_eq!(problems.iter().filter(|p| p.severity > Severity::Info).count(), 1);
    assert!(pool.data(pool.hub).exists());
    fs::write(pool.tail(pool.hub), &kept).unwrap();
    fs::remove_file(pool.data(pool.hub)).unwrap();
    let (summary, _) = run(&path, true).unwrap();
    assert_eq!(summary.errors, 1);
    assert_eq!(fs::read(pool.tail(pool.hub)).unwrap(), kept);
}

#[test]
fn missing_directories_and_links_in_their_place() {
    embedded_only!("it is about files that hold a pool");
    let pool = pool();
    fs::remove_dir_all(pool.path().join("tmp")).unwrap();
    fs::remove_dir_all(pool.path().join("inodes")).unwrap();
    assert!(!run(&pool.path(), false).unwrap().0.is_clean());
    mended(&pool.path());
    let open = EmbeddedPool::open(&pool.path()).unwrap();
    assert_eq!(open.lookup("holder").unwrap(), Binding::Object(pool.holder));
    // A link in the place of an object's file is not followed.
    fs::rename(pool.data(pool.hub), pool.path().join("elsewhere")).unwrap();
    symlink("../../elsewhere", pool.data(pool.hub)).unwrap();
    let problems = wrong(&pool.path());
    assert!(problems.iter().any(|problem| problem.what.contains("not an ordinary file")));
}

#[test]
fn a_copied_pool_is_no_damage() {
    embedded_only!("it is about files that hold a pool");
    let pool = pool();
    let copy = pool.dir.path().join("copy");
    let done = std::process::Command::new("cp")
        .args(["-a".as_ref(), pool.path().as_os_str(), copy.as_os_str()])
        .status();
    assert!(done.unwrap().success());
    assert_eq!(wrong(&copy).len(), 0, "{:?}", wrong(&copy));
    let (summary, problems) = run(&copy, true).unwrap();
    assert_eq!((summary.errors, summary.warnings), (0, 0), "{problems:?}");
    let open = EmbeddedPool::open(&copy).unwrap();
    assert_eq!(open.lookup("holder").unwrap(), Binding::Object(pool.holder));
}

/// An image of sealed objects and names, and what it all amounts to.
fn image(path: &Path) -> Vec<u8> {
    let options = ImageOptions { size: 1 << 20, records: Some(64), ..ImageOptions::default() };
    ImagePool::format(path, &options).unwrap();
    let pool = ImagePool::open_unsynced(path).unwrap();
    for i in 0..3u8 {
        let new =
            NewObject { size: 4096 * i as u64 * 6, nonce: Some([i; 16]), ..NewObject::default() };
        let id = pool.create(&new).unwrap();
        if i > 0 {
            pool.write(id, 4096, &vec![i; new.size as usize]).unwrap();
        }
        let flags = flags::IMMUTABLE;
        let sealed =
            pool.copy(id, &NewObject { flags, nonce: Some([9 + i; 16]), ..NewObject::default() });
        pool.delete(id).unwrap();
        pool.make_dir(&format!("d{i}")).unwrap();
        pool.bind(&format!("d{i}/x"), sealed.unwrap(), false).unwrap();
    }
    contents(&pool).unwrap()
}

fn contents(pool: &dyn Backend) -> twz::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut ids = Vec::new();
    pool.list(&mut |id| {
        ids.push(id);
        Ok(())
    })?;
    ids.sort();
    for id in ids {
        bundle::export(pool, id, &mut all, &mut |_, _| {})?;
    }
    for i in 0..3 {
        all.extend(format!("{:?}", pool.lookup(&format!("d{i}/x"))?).bytes());
    }
    Ok(all)
}

#[test]
fn a_flipped_bit_of_an_image_is_found_or_does_no_harm() {
    embedded_only!("it is about files that hold a pool");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    let before = image(&path);
    assert_eq!(run(&path, false).unwrap().1.len(), 0);
    let good = fs::read(&path).unwrap();
    let mut bytes: Vec<usize> = (0..good.len()).step_by(1301).collect();
    bytes.extend((0..good.len()).filter(|&at| good[at] != 0).step_by(97));
    let (mut found, mut harmless) = (0, 0);
    for at in bytes {
        let bit = at as u64 * 8 + at as u64 % 8;
        flip(&path, bit);
        match run(&path, false) {
            Ok((summary, _)) if summary.errors + summary.warnings == 0 => {
                harmless += 1;
                let pool = ImagePool::open_unsynced(&path).unwrap();
                assert_eq!(contents(&pool).ok().as_ref(), Some(&before), "byte {at:#x}");
            }
            _ => found += 1,
        }
        fs::write(&path, &good).unwrap();
    }
    assert!(found > 100 && harmless > 20, "{found} found, {harmless} not");
}

#[test]
fn an_image_is_mended() {
    embedded_only!("it is about files that hold a pool");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    let before = image(&path);
    let pages = fs::metadata(&path).unwrap().len() / 4096;
    for bit in [100, 4096 * 8 + 5000] {
        flip(&path, bit);
        assert_eq!(wrong(&path).len(), 1);
        mended(&path);
    }
    // The counters' page comes after the journal.
    flip(&path, (2 + 64) * 4096 * 8 + 3);
    assert_ne!(wrong(&path).len(), 0);
    mended(&path);
    let pool = ImagePool::open_unsynced(&path).unwrap();
    assert_eq!(contents(&pool).unwrap(), before);
    assert_eq!(fs::metadata(&path).unwrap().len() / 4096, pages);
    // While it is open for writing, nobody checks it.
    assert!(matches!(run(&path, false), Err(Error::Busy { .. })));
}

#[test]
fn altered_contents_of_a_sealed_object_in_an_image_are_told() {
    embedded_only!("it is about files that hold a pool");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    image(&path);
    let good = fs::read(&path).unwrap();
    let page = (0..256).rev().find(|page| good[page * 4096..][..4096] == [2; 4096]).unwrap();
    flip(&path, page as u64 * 4096 * 8);
    let problems = wrong(&path);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].severity, Severity::Error);
    let (summary, _) = run(&path, true).unwrap();
    assert_eq!((summary.errors, summary.repaired), (1, 0));
}
