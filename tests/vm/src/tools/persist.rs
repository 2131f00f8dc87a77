// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was durable is there after the power was cut: one boot writes what a
//! plan says and stops at a marker, the next finds it.

use twz_abi::{ObjectId, PAGE, Rights, ioctl as abi, meta};
use twz_core::Identity;
use zerocopy::IntoBytes as _;

use super::granted;
use crate::{
    errno::Errno,
    file::File,
    ktap::{self, Suite, Test},
    options::Options,
    probe,
    rng::Rng,
    sys::Session,
    tests,
    world::{OPEN, RW, World},
};

/// The line at which the plug is to be pulled.
pub const MARKER: &str = "PULL THE PLUG";

/// Objects of the plan.
const OBJECTS: u64 = 48;

/// Objects that were deleted before the marker.
const DELETED: u64 = 8;

/// How an object's bytes get there.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Command,
    Store,
    File,
    Msync,
}

/// One object of the plan.
struct Planned {
    nonce: [u8; 16],
    size: u64,
    way: Way,
    /// Pages that hold something, with the word that fills them.
    pages: Vec<(u64, u64)>,
}

impl Planned {
    fn number(n: u64) -> Self {
        let mut rng = Rng::new(0x7077_6572 + n);
        let size = match n % 6 {
            0 => 3 * (2 << 20),
            _ => 1 + rng.below(300 * PAGE),
        };
        let pages = size.div_ceil(PAGE);
        let count = 1 + rng.below(20.min(pages));
        let mut pages: Vec<(u64, u64)> =
            (0..count).map(|_| (rng.below(pages), rng.next() | 1)).collect();
        pages.sort();
        pages.dedup_by_key(|page| page.0);
        let way = *rng.of(&[Way::Command, Way::Store, Way::File, Way::Msync]);
        Self { nonce: nonce(n), size, way, pages }
    }

    fn id(&self) -> ObjectId {
        id_of(self.nonce)
    }

    /// The bytes of a page that is filled with a word, as far as the data go.
    fn bytes(&self, page: u64, word: u64) -> Vec<u8> {
        let len = (self.size - page * PAGE).min(PAGE) as usize;
        let mut bytes = vec![0; PAGE as usize];
        bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(word.as_bytes()));
        bytes.truncate(len);
        bytes
    }
}

fn nonce(n: u64) -> [u8; 16] {
    ((0x7065_7273_6973_7400_u128 << 64) | (n as u128 + 1)).to_le_bytes()
}

fn id_of(nonce: [u8; 16]) -> ObjectId {
    Identity { default_rights: OPEN.0, ..Identity::plain(nonce) }.id().expect("an id")
}

fn create(session: &Session, nonce: [u8; 16], size: u64) -> ObjectId {
    let create = abi::Create { nonce, size, default_rights: OPEN.0, ..Default::default() };
    session.create_as(create).expect("CREATE: the pool must be new")
}

/// Writes what the plan says, makes it durable, and waits for the end.
pub fn write(_: &Options) -> bool {
    let world = World::new();
    let session = &world.session;
    session.mkdir(b"/persist").expect("MKDIR");
    session.mkdir(b"/persist/deeper").expect("MKDIR");
    for n in 0..OBJECTS + DELETED {
        let planned = Planned::number(n);
        let id = create(session, planned.nonce, planned.size);
        fill(&world, id, &planned);
        session.bind(format!("/persist/object {n}").as_bytes(), id, false).expect("BIND");
    }
    finish(session);
    granted::write(session);
    // What this session made must not go with it: the machine ends first.
    println!("{MARKER}");
    std::thread::sleep(std::time::Duration::from_secs(600));
    println!("nobody pulled it");
    false
}

/// The changes after all objects are there.
fn finish(session: &Session) {
    for n in OBJECTS..OBJECTS + DELETED {
        session.unbind(format!("/persist/object {n}").as_bytes()).expect("UNBIND");
        session.delete(id_of(nonce(n))).expect("DELETE");
    }
    session.rename(b"/persist/object 1", b"/persist/deeper/one").expect("RENAME");
    session.bind(b"/persist/deeper/two", id_of(nonce(2)), false).expect("BIND");
    let copy = abi::Create { nonce: nonce(1000), default_rights: OPEN.0, ..Default::default() };
    session.copy_as(id_of(nonce(0)), copy).expect("COPY");
    let sealed = abi::Create { flags: meta::flags::IMMUTABLE, ..copy };
    let sealed = session.copy_as(id_of(nonce(3)), sealed).expect("COPY");
    session.bind(b"/persist/sealed", sealed, false).expect("BIND");
}

fn fill(world: &World, id: ObjectId, planned: &Planned) {
    let session = &world.session;
    world.show(2, id, RW);
    session.invalidate(world.view, 2, 1).expect("INVALIDATE_VIEW");
    let file = File(session.open_fd(id, RW).expect("OPEN_FD"));
    for &(page, word) in &planned.pages {
        let bytes = planned.bytes(page, word);
        match planned.way {
            Way::Command => {
                let done = session.write(id, (page + 1) * PAGE, &bytes);
                assert_eq!(done, Ok(bytes.len() as u64));
            }
            Way::File => assert_eq!(file.pwrite(&bytes, page * PAGE), Ok(bytes.len())),
            Way::Store | Way::Msync => {
                for at in (0..bytes.len() / 8).map(|i| world.at(2, page * PAGE) + i * 8) {
                    probe::store(at, word).expect("a store");
                }
                // The bytes of the last word that are data, and those that are not.
                let odd = bytes.len() % 8;
                if odd != 0 {
                    let at = world.at(2, page * PAGE) + bytes.len() - odd;
                    probe::store(at, word & ((1 << (8 * odd)) - 1)).expect("a store");
                }
                if planned.way == Way::Store {
                    (0..64).for_each(|line| probe::persist(world.at(2, page * PAGE) + line * 64));
                }
            }
        }
    }
    match planned.way {
        Way::Command => session.sync(id).expect("SYNC"),
        Way::File => file.sync().expect("fsync"),
        Way::Msync => session.sync(id).expect("SYNC"),
        Way::Store => {}
    }
    world.unmap(2);
}

const VERIFY: Suite = Suite { name: "persist", tests: TESTS, tidy: false };

const TESTS: &[Test] = tests![
    every_object_has_its_bytes_by_command,
    every_object_has_its_bytes_in_memory,
    every_name_is_there,
    what_was_deleted_is_gone,
    a_copy_is_still_a_copy,
    a_sealed_object_is_still_covered,
    what_is_there_can_be_changed,
];

/// Finds what [`write`] wrote.
pub fn verify(options: &Options) -> bool {
    ktap::run(&[&VERIFY, &granted::VERIFY], options)
}

fn every_object_has_its_bytes_by_command() {
    let session = Session::open();
    for n in 0..OBJECTS {
        let planned = Planned::number(n);
        let stat = session.stat(planned.id()).unwrap_or_else(|e| panic!("object {n}: {e:?}"));
        assert_eq!((stat.size, stat.default_rights), (planned.size, OPEN.0), "object {n}");
        let mut data = vec![1; planned.size as usize];
        assert_eq!(session.read(planned.id(), PAGE, &mut data), Ok(planned.size), "object {n}");
        let mut expected = vec![0; planned.size as usize];
        for &(page, word) in &planned.pages {
            let bytes = planned.bytes(page, word);
            expected[(page * PAGE) as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        let wrong = data.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!(wrong, None, "object {n}, written by {:?}", planned.way);
    }
}

fn every_object_has_its_bytes_in_memory() {
    let world = World::new();
    for n in 0..OBJECTS {
        let planned = Planned::number(n);
        world.show(2, planned.id(), Rights::READ);
        world.session.invalidate(world.view, 2, 1).expect("INVALIDATE_VIEW");
        for &(page, word) in &planned.pages {
            if planned.size - page * PAGE >= 8 {
                assert_eq!(probe::load(world.at(2, page * PAGE)), Ok(word), "object {n}");
            }
        }
    }
}

fn every_name_is_there() {
    let session = Session::open();
    let mut expected: Vec<(Vec<u8>, ObjectId)> = (0..OBJECTS)
        .filter(|n| *n != 1)
        .map(|n| (format!("object {n}").into_bytes(), id_of(nonce(n))))
        .collect();
    let sealed = session.lookup(b"/persist/sealed").expect("LOOKUP").1;
    let deeper = session.lookup(b"/persist/deeper").expect("LOOKUP").1;
    expected.extend([(b"sealed".to_vec(), sealed), (b"deeper".to_vec(), deeper)]);
    expected.sort();
    let mut found: Vec<(Vec<u8>, ObjectId)> = session
        .read_dir(b"/persist", 10)
        .expect("READ_DIR")
        .into_iter()
        .map(|(name, _, id)| (name, id))
        .collect();
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(session.lookup(b"/persist/deeper/one"), Ok((1, id_of(nonce(1)))));
    assert_eq!(session.lookup(b"/persist/deeper/two"), Ok((1, id_of(nonce(2)))));
    assert_eq!(session.stat(id_of(nonce(2))).map(|stat| stat.names), Ok(2));
}

fn what_was_deleted_is_gone() {
    let session = Session::open();
    for n in OBJECTS..OBJECTS + DELETED {
        assert_eq!(session.stat(id_of(nonce(n))).map(|_| ()), Err(Errno::ENOENT));
        let name = format!("/persist/object {n}");
        assert_eq!(session.lookup(name.as_bytes()), Err(Errno::ENOENT));
    }
    let listed = session.list(64);
    assert!((OBJECTS..OBJECTS + DELETED).all(|n| !listed.contains(&id_of(nonce(n)))));
}

fn a_copy_is_still_a_copy() {
    let session = Session::open();
    let (source, copy) = (id_of(nonce(0)), id_of(nonce(1000)));
    let planned = Planned::number(0);
    for &(page, word) in &planned.pages {
        assert_eq!(session.word(copy, page * PAGE), word);
    }
    let (page, word) = planned.pages[0];
    let twin = session.copy(copy).expect("COPY");
    session.set_word(twin, page * PAGE, !word);
    assert_eq!(session.word(source, page * PAGE), word);
    assert_eq!(session.word(copy, page * PAGE), word);
}

fn a_sealed_object_is_still_covered() {
    let session = Session::open();
    let (_, id) = session.lookup(b"/persist/sealed").expect("LOOKUP");
    let stat = session.stat(id).expect("STAT");
    assert_eq!(stat.flags, meta::flags::IMMUTABLE);
    assert!(session.resolve(id, Rights::READ).is_ok(), "its contents are what its id covers");
    assert_eq!(session.write(id, PAGE, &[1]), Err(Errno::EACCES));
}

fn what_is_there_can_be_changed() {
    let session = Session::open();
    let id = id_of(nonce(5));
    let size = session.stat(id).expect("STAT").size;
    assert_eq!(session.resize(id, size + 3 * PAGE), Ok(()));
    session.set_word(id, (size / PAGE + 1) * PAGE, 4);
    assert_eq!(session.resize(id, size), Ok(()));
    assert_eq!(session.word(id, 0), {
        let planned = Planned::number(5);
        planned.pages.iter().find(|page| page.0 == 0).map_or(0, |page| page.1)
    });
}
