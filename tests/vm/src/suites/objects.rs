// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects by commands: what they are, their bytes, their storage, who may.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use twz_abi::{
    DATA_START, MAX_DATA, META_SIZE, META_START, Meta, ObjectId, PAGE, Rights, TAIL_START,
    ioctl as abi, meta,
};
use twz_core::{Identity, ident::ContentHash};
use zerocopy::FromBytes as _;

use crate::{
    commands::adoptable,
    errno::{Errno, Result},
    ktap::Test,
    sys::Session,
    tests,
    world::{OPEN, World},
};

/// The suite.
pub const TESTS: &[Test] = tests![
    a_new_object_is_what_was_asked_for,
    a_nonce_makes_the_id_and_a_second_is_eexist,
    without_a_nonce_every_id_is_another,
    a_directory_is_made_by_mkdir_only,
    an_adopted_object_keeps_its_id,
    an_id_is_made_from_the_identity_alone,
    an_adopted_immutable_object_is_filled_and_then_sealed,
    an_immutable_object_refuses_every_change,
    a_sealed_copy_is_covered_by_its_id,
    a_sealed_copy_that_is_deleted_meanwhile_is_given_back,
    a_list_has_each_object_once,
    growing_shows_zeros,
    shrinking_gives_pages_back_and_forgets,
    an_object_can_be_as_large_as_any,
    reserved_storage_is_there_and_is_zeros,
    reserving_grows_the_object,
    bytes_come_back_as_they_were_written,
    bytes_outside_the_object_are_einval,
    the_tail_can_be_read_and_its_table_written,
    each_command_takes_its_right,
    who_deletes_needs_the_right_to,
    what_is_deleted_is_gone_at_once,
    what_has_a_name_is_ebusy,
    recycled_pages_are_zeros_by_command,
    synced_is_accepted_for_any_object,
    resolve_tells_what_a_fault_would,
];

/// Time for a race that is not decided.
const LONG: Duration = Duration::from_secs(40);

/// The nonce of the one object that nobody can delete.
const FOR_EVER: [u8; 16] = *b"for ever and day";

/// An object that everything is granted on but DELETE; one for all tests.
pub fn undeletable(session: &Session) -> ObjectId {
    let default_rights = OPEN.without(Rights::DELETE).0;
    let create = abi::Create { nonce: FOR_EVER, default_rights, size: PAGE, ..Default::default() };
    match session.create_as(create) {
        Ok(id) => id,
        Err(Errno::EEXIST) => {
            Identity { default_rights, ..Identity::plain(FOR_EVER) }.id().expect("its id")
        }
        Err(other) => panic!("CREATE: {other:?}"),
    }
}

fn identity(stat: &abi::Stat) -> Identity {
    Identity {
        nonce: stat.nonce,
        owner: stat.owner,
        flags: stat.flags,
        default_rights: stat.default_rights,
        content: stat.content,
    }
}

fn a_new_object_is_what_was_asked_for() {
    let session = Session::open();
    let owner = ObjectId::from_u128(5 << 64 | 6);
    let create = abi::Create {
        owner,
        default_rights: OPEN.0,
        kind: 77,
        fingerprint: 0x1234_5678_9abc_def0,
        size: 12_345,
        ..Default::default()
    };
    let id = session.create_as(create).expect("CREATE");
    let stat = session.stat(id).expect("STAT");
    assert_eq!((stat.id, stat.owner, stat.flags), (id, owner, 0));
    assert_eq!((stat.default_rights, stat.kind, stat.names), (OPEN.0, 77, 0));
    assert_eq!((stat.fingerprint, stat.size), (create.fingerprint, 12_345));
    assert_eq!((stat.pages, stat.references, stat.content), (0, 0, [0; 32]));
    assert_eq!(identity(&stat).id(), Some(id), "the id is earned");
}

fn a_nonce_makes_the_id_and_a_second_is_eexist() {
    let session = Session::open();
    let nonce = *b"a nonce of a tes";
    let default_rights = Rights::DEFAULT.0;
    let create = abi::Create { nonce, default_rights, size: 1, ..Default::default() };
    let id = session.create_as(create).expect("CREATE");
    assert_eq!(Some(id), Identity::plain(nonce).id());
    assert_eq!(session.create_as(create), Err(Errno::EEXIST));
    assert_eq!(session.stat(id).map(|stat| stat.size), Ok(1));
}

fn without_a_nonce_every_id_is_another() {
    let session = Session::open();
    let mut ids: Vec<ObjectId> = (0..20).map(|_| session.object(0)).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

fn a_directory_is_made_by_mkdir_only() {
    let session = Session::open();
    let create = abi::Create { kind: meta::kind::NAMES, ..Default::default() };
    assert_eq!(session.create_as(create), Err(Errno::EINVAL));
}

fn an_adopted_object_keeps_its_id() {
    let session = Session::open();
    let adopt = adoptable(*b"adopted by a tes", 2 * PAGE);
    assert_eq!(session.adopt(adopt), Ok(adopt.create.id));
    let stat = session.stat(adopt.create.id).expect("STAT");
    assert_eq!((stat.nonce, stat.size), (adopt.create.nonce, 2 * PAGE));
    assert_eq!(session.adopt(adopt), Err(Errno::EEXIST));
    session.set_word(adopt.create.id, 8, 9);
    assert_eq!(session.word(adopt.create.id, 8), 9);
}

fn an_id_is_made_from_the_identity_alone() {
    let session = Session::open();
    let good = adoptable(*b"not earned, sir.", PAGE);
    let mut liar = good;
    liar.create.id.lo ^= 1 << 40;
    assert_eq!(session.adopt(liar), Err(Errno::EINVAL), "another id");
    let mut other = good;
    other.create.default_rights ^= Rights::EXEC.0;
    assert_eq!(session.adopt(other), Err(Errno::EINVAL), "other rights");
    let mut other = good;
    other.create.nonce[3] ^= 1;
    assert_eq!(session.adopt(other), Err(Errno::EINVAL), "another nonce");
    for id in [good.create.id, liar.create.id] {
        assert_eq!(session.stat(id).map(|_| ()), Err(Errno::ENOENT));
    }
}

/// An immutable object of `size` zeros.
pub fn sealed(session: &Session, nonce: [u8; 16], size: u64, rights: Rights) -> ObjectId {
    let mut hash = ContentHash::new();
    hash.update(&vec![0; size as usize]);
    let (flags, default_rights) = (meta::flags::IMMUTABLE, rights.0);
    let content = hash.finish();
    let identity = Identity { flags, default_rights, content, ..Identity::plain(nonce) };
    let id = identity.id().expect("a nonce that gives an id");
    let create = abi::Create { id, nonce, flags, default_rights, size, ..Default::default() };
    let id = session
        .adopt(abi::Adopt { create, content, epoch: 0 })
        .expect("ADOPT of what is immutable");
    // Whoever brought it in could fill it, until now.
    session.sync(id).expect("SYNC of what is as its id says");
    id
}

/// What is brought in is filled, and looked at once: after that it is immutable.
fn an_adopted_immutable_object_is_filled_and_then_sealed() {
    let session = Session::open();
    let (flags, size) = (meta::flags::IMMUTABLE, 100);
    let mut hash = ContentHash::new();
    hash.update(&[0x33; 100]);
    let nonce = *b"to be filled, so";
    let (default_rights, content) = (OPEN.0, hash.finish());
    let identity = Identity { flags, default_rights, content, ..Identity::plain(nonce) };
    let id = identity.id().expect("a nonce that gives an id");
    let create = abi::Create { id, nonce, flags, size, default_rights, ..Default::default() };
    assert_eq!(session.adopt(abi::Adopt { create, content, epoch: 0 }), Ok(id));
    assert!(session.sync(id).is_err(), "zeros are not what the id covers");
    assert_eq!(session.write(id, PAGE, &[0x33; 99]), Ok(99));
    assert!(session.sync(id).is_err(), "nor is all but the last byte");
    assert_eq!(session.write(id, PAGE, &[0x33; 100]), Ok(100));
    assert_eq!(session.sync(id), Ok(()));
    assert_eq!(session.write(id, PAGE, &[0x33; 100]), Err(Errno::EACCES));
    assert_eq!(session.sync(id), Ok(()));
}

fn an_immutable_object_refuses_every_change() {
    let session = Session::open();
    let id = sealed(&session, *b"sealed by a test", 3 * PAGE, OPEN);
    assert_eq!(session.stat(id).map(|stat| stat.flags), Ok(meta::flags::IMMUTABLE));
    assert_eq!(session.word(id, PAGE), 0);
    assert_eq!(session.write(id, PAGE, &[1]), Err(Errno::EACCES), "WRITE");
    assert_eq!(session.resize(id, PAGE), Err(Errno::EACCES), "RESIZE");
    assert_eq!(session.reserve(id, 0, PAGE), Err(Errno::EACCES), "RESERVE");
    let fd = session.open_fd(id, Rights::READ | Rights::WRITE).map(|_| ());
    assert_eq!(fd, Err(Errno::EACCES), "OPEN_FD");
    assert_eq!(session.word(id, PAGE), 0);
}

fn a_sealed_copy_is_covered_by_its_id() {
    let session = Session::open();
    let source = session.create(PAGE + 100, OPEN);
    session.set_word(source, PAGE, 0x5eed);
    let (flags, default_rights) = (meta::flags::IMMUTABLE, Rights::DEFAULT.0);
    let create = abi::Create { flags, default_rights, ..Default::default() };
    let id = session.copy_as(source, create).expect("COPY to what is immutable");
    let stat = session.stat(id).expect("STAT");
    let mut data = vec![0; (PAGE + 100) as usize];
    assert_eq!(session.read(id, PAGE, &mut data), Ok(PAGE + 100));
    let mut hash = ContentHash::new();
    hash.update(&data);
    assert_eq!(stat.content, hash.finish());
    assert_eq!(identity(&stat).id(), Some(id));
    session.set_word(source, PAGE, 1);
    assert_eq!(session.word(id, PAGE), 0x5eed);
    assert_eq!(session.write(id, PAGE, &[1]), Err(Errno::EACCES));
}

/// One thread stores to what another one copies, so that the copy is not what its id says,
/// and a third deletes each copy that it sees before that is found.
fn a_sealed_copy_that_is_deleted_meanwhile_is_given_back() {
    let session = Session::open();
    let source = session.object(300 * PAGE);
    assert_eq!(session.reserve(source, 0, 300 * PAGE), Ok(()));
    let (kept, free) = (session.list(500), session.info().free_pages);
    let (over, deleted) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut refused, begun) = (0, Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let session = Session::open();
            (0..).take_while(|_| !over.load(Relaxed)).for_each(|n| session.set_word(source, 0, n));
        });
        scope.spawn(|| {
            let session = Session::open();
            while !over.load(Relaxed) {
                let new = session.list(500).into_iter().filter(|id| !kept.contains(id));
                let gone = new.filter(|id| session.delete(*id).is_ok()).count();
                deleted.fetch_add(gone as u64, Relaxed);
            }
        });
        let (flags, default_rights) = (meta::flags::IMMUTABLE, Rights::DEFAULT.0);
        while begun.elapsed() < LONG && (refused < 20 || deleted.load(Relaxed) < 20) {
            let create = abi::Create { flags, default_rights, ..Default::default() };
            refused += (session.copy_as(source, create) == Err(Errno::EBUSY)) as u64;
        }
        over.store(true, Relaxed);
    });
    let deleted = deleted.into_inner();
    assert!(refused > 0 && deleted > 0, "{refused} refused and {deleted} deleted");
    let left = session.list(500).into_iter().filter(|id| !kept.contains(id));
    left.for_each(|id| assert_eq!(session.delete(id), Ok(())));
    assert_eq!(session.delete(source), Ok(()));
    let lost = free.saturating_sub(session.info().free_pages);
    assert_eq!(lost, 0, "pages are lost, after {refused} refused and {deleted} deleted");
}

fn a_list_has_each_object_once() {
    let session = Session::open();
    let mut made: Vec<ObjectId> = (0..37).map(|_| session.object(0)).collect();
    made.sort();
    for room in [1, 7, 1000] {
        let mut all = session.list(room);
        let total = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), total, "no id twice, {room} at a time");
        assert!(all.len() as u64 > session.info().objects - 1, "directories are listed too");
        assert!(made.iter().all(|id| all.binary_search(id).is_ok()), "{room} at a time");
    }
    session.delete(made[5]).expect("DELETE");
    assert!(!session.list(64).contains(&made[5]));
}

fn growing_shows_zeros() {
    let session = Session::open();
    let id = session.object(100);
    assert_eq!(session.write(id, DATA_START, &[0xff; 100]), Ok(100));
    // The rest of the last page is writable, but not data.
    assert_eq!(session.write(id, DATA_START + 100, &[0xee; 200]), Ok(200));
    assert_eq!(session.resize(id, 3 * PAGE), Ok(()));
    let mut data = vec![1; 3 * PAGE as usize];
    assert_eq!(session.read(id, DATA_START, &mut data), Ok(3 * PAGE));
    assert!(data[..100].iter().all(|&b| b == 0xff));
    assert!(data[100..].iter().all(|&b| b == 0), "what it grew by is zeros");
}

fn shrinking_gives_pages_back_and_forgets() {
    let session = Session::open();
    let id = session.object(600 * PAGE);
    let before = session.info().free_pages;
    assert_eq!(session.write(id, DATA_START, &vec![7; 600 * 4096]), Ok(600 * PAGE));
    assert!(session.info().free_pages <= before - 600);
    assert_eq!(session.resize(id, 10), Ok(()));
    assert_eq!(session.stat(id).map(|stat| (stat.size, stat.pages)), Ok((10, 1)));
    assert_eq!(session.resize(id, 600 * PAGE), Ok(()));
    let mut data = vec![1; 600 * 4096];
    assert_eq!(session.read(id, DATA_START, &mut data), Ok(600 * PAGE));
    assert!(data[..10].iter().all(|&b| b == 7));
    assert!(data[10..].iter().all(|&b| b == 0), "nothing of what was cut comes back");
    assert_eq!(session.resize(id, 0), Ok(()));
    assert_eq!(session.info().free_pages, before);
}

fn an_object_can_be_as_large_as_any() {
    let session = Session::open();
    let id = session.object(MAX_DATA);
    let last = MAX_DATA - 8;
    session.set_word(id, last, 3);
    assert_eq!((session.word(id, last), session.word(id, last - 8)), (3, 0));
    assert_eq!(session.resize(id, MAX_DATA + 1), Err(Errno::EINVAL));
    let stat = session.stat(id).expect("STAT");
    assert!(stat.size == MAX_DATA && stat.pages < 10, "{stat:?}");
}

fn reserved_storage_is_there_and_is_zeros() {
    let session = Session::open();
    let id = session.object(1024 * PAGE);
    let before = session.info().free_pages;
    assert_eq!(session.reserve(id, 100, 200 * PAGE), Ok(()));
    let taken = before - session.info().free_pages;
    assert!((200..1100).contains(&taken), "{taken} pages for 200");
    let after = session.info().free_pages;
    assert_eq!(session.write(id, DATA_START, &vec![1; 4096 * 200]), Ok(200 * PAGE));
    assert_eq!(session.info().free_pages, after, "storing there takes nothing more");
    assert_eq!(session.word(id, 200 * PAGE), 0);
    assert_eq!(session.reserve(id, 3, 3), Ok(()), "nothing of it");
}

fn reserving_grows_the_object() {
    let session = Session::open();
    let id = session.object(10);
    assert_eq!(session.reserve(id, 0, 5 * PAGE + 1), Ok(()));
    assert_eq!(session.stat(id).map(|stat| stat.size), Ok(5 * PAGE + 1));
    assert_eq!(session.reserve(id, 0, PAGE), Ok(()));
    assert_eq!(session.stat(id).map(|stat| stat.size), Ok(5 * PAGE + 1), "and never shrinks it");
}

fn bytes_come_back_as_they_were_written() {
    let session = Session::open();
    let id = session.object(2000 * PAGE);
    let mut rng = crate::rng::Rng::new(1);
    let cases = [(0, 1), (4095, 2), (1, 4096), (8 * PAGE + 13, 70_000), (511 * PAGE - 3, 3 << 20)];
    for (at, len) in cases {
        let bytes = rng.bytes(len);
        assert_eq!(session.write(id, DATA_START + at, &bytes), Ok(len as u64));
        let mut back = vec![0; len + 2];
        let from = DATA_START + at.saturating_sub(1);
        let skip = (at > 0) as usize;
        assert_eq!(session.read(id, from, &mut back), Ok(len as u64 + 2));
        assert!(back[skip..skip + len] == bytes, "{len} bytes at {at}");
    }
    assert_eq!(session.write(id, DATA_START, &[]), Ok(0));
}

fn bytes_outside_the_object_are_einval() {
    let session = Session::open();
    let id = session.object(PAGE + 1);
    let end = DATA_START + 2 * PAGE;
    for (offset, len) in [(0, 8), (4095, 1), (end, 1), (end - 4, 8), (TAIL_START - 8, 8)] {
        let write = session.write(id, offset, &vec![1; len]);
        assert_eq!(write, Err(Errno::EINVAL), "WRITE of {len} at {offset:#x}");
    }
    assert_eq!(session.read(id, 0, &mut [0; 8]), Err(Errno::EINVAL));
    assert_eq!(session.read(id, (1 << 30) - 4, &mut [0; 8]), Err(Errno::EINVAL));
    assert_eq!(session.write(id, META_START, &[0; 8]), Err(Errno::EINVAL), "the meta record");
    assert_eq!(session.write(id, META_START - 4, &[0; 8]), Err(Errno::EINVAL), "into it");
    assert_eq!(session.stat(id).map(|stat| (stat.size, stat.pages)), Ok((PAGE + 1, 0)));
}

fn the_tail_can_be_read_and_its_table_written() {
    let session = Session::open();
    let id = session.object(100);
    let read = |session: &Session| -> Result<Meta> {
        let mut bytes = [0; META_SIZE as usize];
        session.read(id, META_START, &mut bytes)?;
        Ok(Meta::read_from_bytes(&bytes).expect("512 bytes"))
    };
    let meta = read(&session).expect("READ of the meta record");
    assert_eq!((meta.magic, meta.id, meta.size), (meta::META_MAGIC, id, 100));
    assert_eq!(session.write(id, META_START - 32, &[5; 32]), Ok(32), "entry 1 of the FOT");
    assert_eq!(session.write(id, TAIL_START, &[6; 32]), Ok(32), "entry 112");
    let mut entry = [0; 32];
    assert_eq!(session.read(id, META_START - 32, &mut entry), Ok(32));
    assert_eq!(entry, [5; 32]);
    assert_eq!(session.resize(id, 3 * PAGE), Ok(()));
    let meta = read(&session).expect("READ of the meta record");
    assert_eq!((meta.id, meta.size), (id, 3 * PAGE));
}

fn each_command_takes_its_right() {
    let session = Session::open();
    let offset = DATA_START;
    let none = OPEN.without(Rights::READ | Rights::WRITE);
    let (blind, mute) = (none | Rights::WRITE, none | Rights::READ);
    let create = abi::Create { default_rights: 19, ..Default::default() };
    for (rights, readable, writable) in
        [(OPEN, true, true), (blind, false, true), (mute, true, false), (none, false, false)]
    {
        let id = session.create(PAGE, rights);
        let may = |allowed: bool, got: Result, what: &str| {
            let expected = if allowed { Ok(()) } else { Err(Errno::EACCES) };
            assert_eq!(got, expected, "{what} with {rights:?}");
        };
        may(readable, session.read(id, offset, &mut [0; 8]).map(|_| ()), "READ");
        may(readable, session.copy_as(id, create).map(|_| ()), "COPY");
        let wait = session.wait(id, offset, 1, 0);
        let waited = if readable { Errno::EAGAIN } else { Errno::EACCES };
        assert_eq!(wait, Err(waited), "WAIT with {rights:?}");
        may(writable, session.write(id, offset, &[0; 8]).map(|_| ()), "WRITE");
        may(writable, session.resize(id, PAGE), "RESIZE");
        may(writable, session.reserve(id, 0, PAGE), "RESERVE");
        may(writable, session.wake(id, offset, 1).map(|_| ()), "WAKE");
        may(readable, session.open_fd(id, Rights::READ).map(|_| ()), "OPEN_FD to read");
        may(writable, session.open_fd(id, Rights::WRITE).map(|_| ()), "OPEN_FD to write");
        assert!(session.stat(id).is_ok(), "STAT takes none");
    }
}

fn who_deletes_needs_the_right_to() {
    let session = Session::open();
    let id = undeletable(&session);
    assert_eq!(session.delete(id), Err(Errno::EACCES));
    assert!(session.stat(id).is_ok());
}

fn what_is_deleted_is_gone_at_once() {
    let session = Session::open();
    let before = session.info();
    let id = session.object(100 * PAGE);
    assert_eq!(session.write(id, PAGE, &[1; 100]), Ok(100));
    assert_eq!(session.delete(id), Ok(()));
    assert_eq!(session.stat(id).map(|_| ()), Err(Errno::ENOENT));
    assert_eq!(session.delete(id), Err(Errno::ENOENT));
    assert_eq!(session.read(id, PAGE, &mut [0]), Err(Errno::ENOENT));
    assert_eq!(session.open_fd(id, Rights::READ).map(|_| ()), Err(Errno::ENOENT));
    assert!(!session.list(100).contains(&id));
    let after = session.info();
    assert_eq!((after.objects, after.free_pages), (before.objects, before.free_pages));
}

fn what_has_a_name_is_ebusy() {
    let session = Session::open();
    let id = session.object(0);
    session.bind(b"/busy", id, false).expect("BIND");
    assert_eq!(session.delete(id), Err(Errno::EBUSY));
    session.unbind(b"/busy").expect("UNBIND");
    assert_eq!(session.delete(id), Ok(()));
}

fn recycled_pages_are_zeros_by_command() {
    let session = Session::open();
    for round in 0..4 {
        let secret = session.object(300 * PAGE);
        assert_eq!(session.write(secret, PAGE, &vec![0x5a; 300 * 4096]), Ok(300 * PAGE));
        session.delete(secret).expect("DELETE");
        let id = session.object(300 * PAGE);
        match round % 2 {
            0 => session.reserve(id, 0, 300 * PAGE).expect("RESERVE"),
            // A few bytes of each page: the rest of it comes with them.
            _ => (0..300).for_each(|page| session.set_word(id, page * PAGE + 8 * page, 1)),
        }
        let mut data = vec![1; 300 * 4096];
        session.read(id, PAGE, &mut data).expect("READ");
        let secrets = data.iter().filter(|&&b| b > 1).count();
        assert_eq!(secrets, 0, "round {round}");
        session.delete(id).expect("DELETE");
    }
}

fn synced_is_accepted_for_any_object() {
    let session = Session::open();
    let id = session.object(10 * PAGE);
    assert_eq!(session.sync(id), Ok(()));
    session.set_word(id, 0, 1);
    assert_eq!(session.sync(id), Ok(()));
    assert_eq!(session.sync(undeletable(&session)), Ok(()));
}

fn resolve_tells_what_a_fault_would() {
    let world = World::new();
    let id = world.session.create(3 * PAGE, Rights(1 | 16));
    let told = world.session.resolve(id, Rights(3)).expect("RESOLVE");
    assert_eq!((told.granted, told.size, told.fot_pages), (1, 3 * PAGE, 0));
    let told = world.session.resolve(id, Rights::EXEC).expect("RESOLVE");
    assert_eq!(told.granted, 0);
    let sealed = sealed(&world.session, *b"sealed: resolved", PAGE, OPEN);
    let told = world.session.resolve(sealed, Rights(7)).expect("RESOLVE");
    assert_eq!(told.granted & Rights::WRITE.0, 0, "an immutable object is never writable");
}
