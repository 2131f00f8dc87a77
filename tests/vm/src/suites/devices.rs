// SPDX-License-Identifier: MIT OR Apache-2.0
//! Devices that are no pool, or a damaged one: the module refuses them with a
//! line in the log, or serves what it can, and never falls. Run without the
//! module; what is on the device is lost.

use twz_abi::{PAGE, Rights, ioctl as abi, reason, superblock};

use crate::{
    errno::Errno,
    image::{self, Image, OBJECTS},
    ktap::Test,
    map, module,
    module::Log,
    options::options,
    probe,
    rng::Rng,
    sys::Session,
    tests,
    world::{RW, World},
};

/// The suite.
pub const TESTS: &[Test] = tests![
    a_good_pool_is_served,
    a_device_that_is_not_there_is_refused,
    an_unformatted_device_names_the_command,
    a_newer_version_is_refused,
    unknown_features_are_refused,
    unknown_features_that_forbid_writing_are_read_only,
    a_directory_pools_superblock_is_refused,
    a_pool_larger_than_its_device_is_refused,
    one_torn_superblock_is_mended,
    two_torn_superblocks_are_refused,
    a_damaged_state_is_refused,
    a_damaged_journal_is_no_harm,
    a_record_that_is_damaged_is_eio,
    each_region_full_of_noise,
    noise_everywhere,
    a_few_bits_anywhere,
];

/// Loads the module on this pool; what the log says of it.
fn load(image: &Image) -> (Result<(), Errno>, String) {
    let _ = module::unload_soon();
    image.store();
    let mut log = Log::mark();
    let loaded = module::load();
    (loaded, log.text())
}

/// Which has to fail, with a line of the log.
fn refused(image: &Image, what: &str) -> String {
    let (loaded, log) = load(image);
    let said = log.lines().any(|line| line.contains("twz"));
    if loaded.is_ok() {
        let _ = module::unload_soon();
    }
    assert!(loaded.is_err(), "{what}: it was loaded");
    assert!(said, "{what}: refused with {loaded:?} and no word in the log");
    log
}

/// Everything that can be asked of the pool's objects: answers or errors.
fn exercise() -> (u64, u64) {
    let world = World::try_new();
    let Some(world) = world else { return (0, 1) };
    let session = &world.session;
    let (mut fine, mut failed) = (0, 0);
    let mut count = |ok: bool| if ok { fine += 1 } else { failed += 1 };
    let mut cursor = 0;
    for _ in 0..100 {
        match session.list_some(&mut cursor, 16) {
            Ok(some) if !some.is_empty() => count(true),
            other => {
                count(other.is_ok());
                break;
            }
        }
    }
    for n in 0..OBJECTS + 10 {
        let id = image::id(n);
        count(session.stat(id).is_ok());
        count(session.read(id, PAGE, &mut [0; 5000]).is_ok());
        let slot = 2 + (n % 4) as u32;
        if session.write(world.view, twz_abi::ViewEntry::offset(slot), &entry(n)).is_ok() {
            count(probe::load(world.at(slot, 0)).is_ok());
            count(probe::store(world.at(slot, 8), 1).is_ok());
            count(probe::load(world.slot(slot, twz_abi::TAIL_START)).is_ok());
        }
        match n % 5 {
            0 => count(session.write(id, PAGE, &[n as u8; 100]).is_ok()),
            1 => count(session.resize(id, n * 4000).is_ok()),
            2 => count(session.copy(id).is_ok()),
            // The last ones have no names.
            _ if n >= OBJECTS => count(session.delete(id).is_ok()),
            3 => count(session.lookup(format!("/dir/object {n}").as_bytes()).is_ok()),
            _ => {
                count(session.unbind(format!("/dir/object {n}").as_bytes()).is_ok());
                count(session.delete(id).is_ok());
            }
        }
    }
    count(session.read_dir(b"/dir", 8).is_ok());
    let create = abi::Create { size: PAGE, default_rights: 31, ..Default::default() };
    let made = session.create_as(create);
    count(made.is_ok_and(|id| session.bind(b"/dir/new", id, true).is_ok()));
    (fine, failed)
}

fn entry(n: u64) -> Vec<u8> {
    use zerocopy::IntoBytes as _;
    twz_abi::ViewEntry::new(image::id(n), RW).as_bytes().to_vec()
}

/// Loads it and, if it is taken, uses it; then it must be possible to unload.
fn survived(image: &Image, what: &str) {
    let (loaded, _) = load(image);
    if loaded.is_ok() {
        let (fine, failed) = exercise();
        println!("{what}: {fine} answers, {failed} errors");
        assert_eq!(module::unload_soon(), Ok(()), "{what}");
    } else {
        println!("{what}: refused with {loaded:?}");
    }
}

fn a_good_pool_is_served() {
    let (loaded, log) = load(&Image::new());
    assert_eq!(loaded, Ok(()), "{log}");
    let session = Session::open();
    assert_eq!(session.word(image::id(5), 0), session.word(image::id(5), 0));
    assert_eq!(session.stat(image::id(OBJECTS)).map(|stat| stat.size), Ok(100), "a copy");
    drop(session);
    let (fine, failed) = exercise();
    assert_eq!(failed, 0, "of {fine}");
    assert_eq!(module::unload_soon(), Ok(()));
}

fn a_device_that_is_not_there_is_refused() {
    let _ = module::unload_soon();
    let mut log = Log::mark();
    let loaded = module::load_with("pmem=/dev/no-such-thing");
    if loaded.is_ok() {
        let _ = module::unload_soon();
    }
    assert!(loaded.is_err());
    assert!(log.text().contains("twz"), "it says so");
}

fn an_unformatted_device_names_the_command() {
    let mut image = Image::new();
    image.bytes.fill(0);
    let log = refused(&image, "zeros");
    assert!(log.contains("pool init"), "the command to make a pool is named:\n{log}");
    image.bytes[..8].copy_from_slice(b"EXT4 or ");
    refused(&image, "something else");
}

fn a_newer_version_is_refused() {
    let mut image = Image::new();
    image.change_superblocks(|s| s.version += 1);
    let log = refused(&image, "a newer version");
    assert!(log.contains("version"), "{log}");
}

fn unknown_features_are_refused() {
    let mut image = Image::new();
    image.change_superblocks(|s| s.incompat |= 1 << 40);
    refused(&image, "an unknown incompat feature");
}

fn unknown_features_that_forbid_writing_are_read_only() {
    let mut image = Image::new();
    image.change_superblocks(|s| s.ro_compat |= 1 << 40);
    let (loaded, log) = load(&image);
    assert_eq!(loaded, Ok(()), "{log}");
    let session = Session::open();
    assert_eq!(session.info().read_only, 1);
    let id = image::id(2);
    assert!(session.stat(id).is_ok() && session.read(id, PAGE, &mut [0; 100]).is_ok());
    let create = abi::Create { default_rights: 31, ..Default::default() };
    assert_eq!(session.create_as(create), Err(Errno::EROFS));
    assert_eq!(session.last_error().reason, reason::READ_ONLY);
    assert_eq!(session.write(id, PAGE, &[1]), Err(Errno::EROFS));
    assert_eq!(session.resize(id, 1), Err(Errno::EROFS));
    assert_eq!(session.unbind(b"/dir/object 2"), Err(Errno::EROFS));
    assert_eq!(session.delete(id), Err(Errno::EROFS));
    let file = session.open_fd(id, Rights::READ).expect("OPEN_FD");
    let mapped = map::Map::shared(&file, map::PAGE, libc::PROT_READ).expect("mmap");
    assert!(probe::load(mapped.at(0)).is_ok(), "it can be read in memory");
    drop((session, file, mapped));
    assert_eq!(module::unload_soon(), Ok(()));
}

fn a_directory_pools_superblock_is_refused() {
    let mut image = Image::new();
    image.change_superblocks(|s| s.kind = superblock::kind::DIRECTORY);
    refused(&image, "a directory pool");
}

fn a_pool_larger_than_its_device_is_refused() {
    let mut image = Image::new();
    image.change_superblocks(|s| s.pages = 1 << 30);
    refused(&image, "a larger pool");
}

fn one_torn_superblock_is_mended() {
    for slot in 0..2 {
        let mut image = Image::new();
        image.bytes[slot * 4096 + 700..slot * 4096 + 760].fill(0xff);
        let (loaded, log) = load(&image);
        assert_eq!(loaded, Ok(()), "superblock {slot}: {log}");
        assert!(Session::open().stat(image::id(3)).is_ok());
        assert_eq!(module::unload_soon(), Ok(()));
    }
}

fn two_torn_superblocks_are_refused() {
    let mut image = Image::new();
    image.bytes[700..760].fill(0xff);
    image.bytes[4096 + 700..4096 + 760].fill(0xff);
    refused(&image, "two torn superblocks");
}

fn a_damaged_state_is_refused() {
    let mut image = Image::new();
    let s = image.current();
    let at = (s.state_page * PAGE) as usize;
    image.bytes[at + 3] ^= 1;
    let (loaded, log) = load(&image);
    assert_eq!(loaded, Ok(()), "the journal has it, and mends it: {log}");
    // Without a journal nothing does.
    let journal = (s.journal_page * PAGE) as usize;
    image.bytes[journal..journal + (s.journal_pages * PAGE) as usize].fill(0);
    refused(&image, "a damaged state");
}

fn a_damaged_journal_is_no_harm() {
    let mut rng = Rng::new(3);
    for round in 0..4 {
        let mut image = Image::new();
        let (page, pages) = (image.current().journal_page, image.current().journal_pages);
        match round {
            0 => image.scribble(page, pages, &mut rng),
            1 => image.scribble(page, pages / 2, &mut rng),
            _ => (0..20).for_each(|_| {
                let at = (page * PAGE + rng.below(pages * PAGE)) as usize;
                image.bytes[at] ^= 1 << rng.below(8);
            }),
        }
        survived(&image, &format!("journal {round}"));
    }
}

fn a_record_that_is_damaged_is_eio() {
    let mut image = Image::new();
    let records = image.current().records_page * PAGE;
    let needle: Vec<u8> = [image::id(7).lo.to_le_bytes(), image::id(7).hi.to_le_bytes()].concat();
    let found = (0..OBJECTS + 20)
        .map(|r| (records + r * 256) as usize)
        .find(|at| image.bytes[*at..*at + 16] == needle[..]);
    let at = found.expect("the record of object 7");
    image.bytes[at + 104] ^= 1;
    let (loaded, log) = load(&image);
    assert_eq!(loaded, Ok(()), "{log}");
    let session = Session::open();
    assert_eq!(session.stat(image::id(7)).map(|_| ()), Err(Errno::EIO));
    assert_eq!(session.last_error().reason, reason::DAMAGED);
    assert!(session.stat(image::id(8)).is_ok(), "others are whole");
    drop(session);
    assert_eq!(module::unload_soon(), Ok(()));
}

fn each_region_full_of_noise() {
    let mut rng = Rng::new(4);
    let good = Image::new();
    let s = good.current();
    let regions = [
        ("state", s.state_page, 1),
        ("heads", s.heads_page, s.records_page - s.heads_page),
        ("records", s.records_page, s.groups_page - s.records_page),
        ("groups", s.groups_page, s.bitmap_page - s.groups_page),
        ("bitmap", s.bitmap_page, s.refs_page - s.bitmap_page),
        ("refs", s.refs_page, s.data_page - s.refs_page),
        ("data", s.data_page, s.pages - s.data_page),
    ];
    for (what, page, pages) in regions {
        let mut image = good.clone();
        image.scribble(page, pages, &mut rng);
        survived(&image, what);
    }
}

fn noise_everywhere() {
    let mut rng = Rng::new(5);
    let mut image = Image::new();
    let pages = image.bytes.len() as u64 / PAGE;
    image.scribble(2, pages - 2, &mut rng);
    survived(&image, "noise behind the superblocks");
    image.scribble(0, pages, &mut rng);
    refused(&image, "noise");
}

fn a_few_bits_anywhere() {
    let seed = options().seed.unwrap_or(6);
    let mut rng = Rng::new(seed);
    let good = Image::new();
    let s = good.current();
    for round in 0..options().count.unwrap_or(25) {
        let mut image = good.clone();
        let end = if round % 3 == 0 { s.pages } else { s.data_page };
        for _ in 0..1 + rng.below(30) {
            let at = rng.below(end * PAGE) as usize;
            image.bytes[at] ^= 1 << rng.below(8);
        }
        if round % 4 == 0 {
            // Words of tables, off by a little.
            for _ in 0..20 {
                let at =
                    (s.heads_page * PAGE + rng.below((s.data_page - s.heads_page) * PAGE)) as usize;
                image.bytes[at & !3] = image.bytes[at & !3].wrapping_add(rng.below(5) as u8);
            }
        }
        survived(&image, &format!("seed {seed}, round {round}"));
    }
}
