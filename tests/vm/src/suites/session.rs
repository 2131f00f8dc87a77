// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handshake, numbers, reserved fields, addresses, whose session it is, and
//! what `LAST_ERROR` tells.

use std::os::fd::AsRawFd as _;

use twz_abi::{FORMAT_VERSION, ObjectId, PAGE, Rights, ioctl as abi, reason};
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::{
    commands::Props,
    errno::Errno,
    ktap::Test,
    map::{self, Map},
    probe, process, sys,
    sys::Session,
    tests,
    world::{OPEN, World},
};

/// The suite.
pub const TESTS: &[Test] = tests![
    before_the_handshake_every_command_is_eproto,
    a_handshake_tells_versions_and_the_pool,
    another_version_is_eproto_and_is_told_the_modules,
    a_session_can_be_greeted_twice,
    unknown_numbers_are_enotty,
    other_sizes_and_directions_are_enotty,
    every_valid_argument_is_accepted,
    what_an_argument_must_not_say_has_its_errno,
    an_id_that_no_object_has_is_enoent,
    an_argument_at_a_bad_address_is_efault,
    an_answer_into_read_only_memory_is_efault,
    a_bad_address_in_an_argument_is_efault,
    a_forked_child_has_no_session,
    a_receiver_of_the_descriptor_has_no_session,
    a_program_that_was_execed_has_no_session,
    a_second_open_is_a_second_session,
    last_error_begins_with_nothing,
    last_error_tells_of_a_command,
    last_error_tells_of_a_fault,
    last_error_is_each_threads_own,
    info_counts_objects_and_pages,
    other_operations_on_the_device_fail,
];

fn before_the_handshake_every_command_is_eproto() {
    let session = Session::open();
    let props = Props::new(&session);
    let fresh = sys::open_device().expect("open");
    for case in props.cases().iter().filter(|case| case.command.number != abi::HANDSHAKE) {
        let got = case.issue(fresh.as_raw_fd(), &mut case.valid.clone());
        assert_eq!(got, Err(Errno::EPROTO), "{}", case.command.name);
    }
    let mut hello = sys::greeting();
    assert_eq!(sys::command(fresh.as_raw_fd(), abi::HANDSHAKE, &mut hello), Ok(()));
}

fn a_handshake_tells_versions_and_the_pool() {
    let device = sys::open_device().expect("open");
    let mut hello = sys::greeting();
    assert_eq!(sys::command(device.as_raw_fd(), abi::HANDSHAKE, &mut hello), Ok(()));
    assert_eq!((hello.abi_version, hello.format_version), (abi::ABI_VERSION, FORMAT_VERSION));
    assert_eq!((hello.features, hello.reserved), (0, 0));
    let info = Session::open().info();
    assert_eq!((hello.pool_id, hello.pages), (info.pool_id, info.pages));
    assert_ne!(hello.pool_id, [0; 16]);
    assert!(hello.pages > 64, "{hello:?}");
}

fn another_version_is_eproto_and_is_told_the_modules() {
    let others = [
        (abi::ABI_VERSION + 1, FORMAT_VERSION),
        (abi::ABI_VERSION - 1, FORMAT_VERSION),
        (abi::ABI_VERSION, FORMAT_VERSION + 1),
        (u32::MAX, u32::MAX),
    ];
    for (abi_version, format_version) in others {
        let device = sys::open_device().expect("open");
        let mut hello = abi::Handshake { abi_version, format_version, ..Default::default() };
        let got = sys::command(device.as_raw_fd(), abi::HANDSHAKE, &mut hello);
        assert_eq!(got, Err(Errno::EPROTO), "{abi_version} {format_version}");
        assert_eq!((hello.abi_version, hello.format_version), (abi::ABI_VERSION, FORMAT_VERSION));
        let mut last = abi::LastError::default();
        let got = sys::command(device.as_raw_fd(), abi::LAST_ERROR, &mut last);
        assert_eq!(got, Err(Errno::EPROTO), "a failed handshake opens nothing");
        assert_eq!(sys::command(device.as_raw_fd(), abi::HANDSHAKE, &mut sys::greeting()), Ok(()));
    }
}

fn a_session_can_be_greeted_twice() {
    let session = Session::open();
    let id = session.object(PAGE);
    assert_eq!(session.call(abi::HANDSHAKE, &mut sys::greeting()), Ok(()));
    assert!(session.stat(id).is_ok());
}

fn unknown_numbers_are_enotty() {
    let session = Session::open();
    let mut room = [0u64; 64];
    let address = room.as_mut_ptr() as usize;
    let last = abi::FIRST + abi::COMMANDS.len() as u8 - 1;
    let neighbours = [0u8, 1, 14, abi::FIRST - 1, last + 1, last + 2, 0xff];
    let sizes = [0usize, 8, 16, 24, 48, 144];
    for (nr, size) in neighbours.iter().flat_map(|nr| sizes.map(|size| (*nr, size))) {
        let got = sys::ioctl(session.raw(), abi::iowr(nr, size), address);
        assert_eq!(got, Err(Errno::ENOTTY), "nr {nr:#x} size {size}");
    }
    for number in [0u32, 3, 0x5401, 0x8004_5a80, 0xffff_ffff] {
        let got = sys::ioctl(session.raw(), number, address);
        assert_eq!(got, Err(Errno::ENOTTY), "number {number:#x}");
    }
}

fn other_sizes_and_directions_are_enotty() {
    let session = Session::open();
    let mut room = [0u64; 64];
    let address = room.as_mut_ptr() as usize;
    for command in abi::COMMANDS {
        let nr = command.number as u8;
        let others = [
            abi::iowr(nr, command.size - 8),
            abi::iowr(nr, command.size + 8),
            abi::iowr(nr, 0),
            command.number & !(1 << 31),
            command.number & !(1 << 30),
            command.number ^ 1 << 8,
        ];
        for number in others {
            let got = sys::ioctl(session.raw(), number, address);
            assert_eq!(got, Err(Errno::ENOTTY), "{} as {number:#x}", command.name);
        }
    }
}

/// What the tables below start from is accepted, or fails for a reason of its own.
fn every_valid_argument_is_accepted() {
    let world = World::new();
    let props = Props::new(&world.session);
    // Later commands need the object.
    for case in props.cases().iter().filter(|case| case.command.number != abi::DELETE) {
        let mut argument = case.valid.clone();
        let got = case.issue(world.session.raw(), &mut argument);
        let made = |at: usize| ObjectId::read_from_bytes(&argument[at..at + 16]).expect("an id");
        match case.command.number {
            abi::CREATE | abi::ADOPT => assert_eq!(world.session.delete(made(0)), Ok(())),
            abi::COPY => assert_eq!(world.session.delete(made(16)), Ok(())),
            _ => {}
        }
        let expected = match case.command.number {
            // The word does not hold the value; the name is bound later, and then no more.
            abi::WAIT => Err(Errno::EAGAIN),
            abi::LOOKUP | abi::RENAME => Err(Errno::ENOENT),
            // No view is mapped at that address.
            abi::FAULT => Err(got.expect_err("FAULT of memory that is not a view's")),
            _ => Ok(()),
        };
        assert_eq!(got, expected, "{}", case.command.name);
    }
    assert_eq!(world.session.delete(props.object), Ok(()));
}

fn what_an_argument_must_not_say_has_its_errno() {
    let session = Session::open();
    let props = Props::new(&session);
    let mut tried = 0;
    for case in props.cases() {
        for spoil in &case.spoils {
            let what = format!("{}: {}", case.command.name, spoil.field);
            let got = case.issue(session.raw(), &mut case.spoiled(spoil));
            assert_eq!(got, Err(spoil.errno), "{what}");
            let last = session.last_error();
            assert_eq!(last.errno as i32, spoil.errno.0, "{what}");
            let place = last.reason == reason::OUTSIDE && spoil.field.contains("offset");
            assert!(place || last.reason == spoil.reason, "{what}: {}", last.reason);
            tried += 1;
        }
    }
    assert!(tried > 90, "only {tried}");
    assert!(session.stat(props.object).is_ok(), "and nothing was done");
    assert_eq!(session.stat(props.owned).map(|stat| stat.epoch), Ok(0));
    assert_eq!((session.contexts().count, session.active()), (1, ObjectId::NULL));
}

fn an_id_that_no_object_has_is_enoent() {
    let session = Session::open();
    let props = Props::new(&session);
    let unknown = ObjectId::from_u128(props.object.as_u128() ^ 1 << 70 ^ 1 << 3);
    for case in props.cases() {
        // An adopted object brings its own id.
        let Some(at) = case.id_at.filter(|_| case.command.number != abi::ADOPT) else { continue };
        let got = case.issue(session.raw(), &mut case.with(at, unknown.as_bytes()));
        assert_eq!(got, Err(Errno::ENOENT), "{}", case.command.name);
    }
}

/// Addresses that no process has.
fn bad_addresses(hole: usize) -> [usize; 5] {
    [0, 8, hole, 0xffff_8880_0000_0000, 0x8000_0000_0000_0000]
}

fn an_argument_at_a_bad_address_is_efault() {
    let session = Session::open();
    let hole = Map::anonymous(2 * map::PAGE, map::RW).expect("mmap");
    hole.protect(0).expect("mprotect");
    for command in abi::COMMANDS {
        for address in bad_addresses(hole.at(0)) {
            let got = sys::ioctl(session.raw(), command.number, address);
            assert_eq!(got, Err(Errno::EFAULT), "{} at {address:#x}", command.name);
        }
        // It begins in memory and ends outside.
        map::mprotect(hole.at(0), map::PAGE, map::RW).expect("mprotect");
        let got = sys::ioctl(session.raw(), command.number, hole.at(map::PAGE - 8));
        assert_eq!(got, Err(Errno::EFAULT), "{} across an end", command.name);
        hole.protect(0).expect("mprotect");
    }
}

fn an_answer_into_read_only_memory_is_efault() {
    let session = Session::open();
    let props = Props::new(&session);
    for case in props.cases() {
        let answers = matches!(
            case.command.number,
            abi::HANDSHAKE
                | abi::INFO
                | abi::LAST_ERROR
                | abi::STAT
                | abi::RESOLVE
                | abi::READ
                | abi::CONTEXTS
                | abi::LOAD
        );
        if !answers {
            continue;
        }
        let page = Map::anonymous(map::PAGE, map::RW).expect("mmap");
        for (i, word) in case.valid.chunks(8).enumerate() {
            let word = u64::from_le_bytes(word.try_into().expect("8 bytes"));
            probe::store(page.at(i * 8), word).expect("memory");
        }
        page.protect(libc::PROT_READ).expect("mprotect");
        let got = sys::ioctl(session.raw(), case.command.number, page.at(0));
        assert_eq!(got, Err(Errno::EFAULT), "{}", case.command.name);
    }
}

fn a_bad_address_in_an_argument_is_efault() {
    let session = Session::open();
    let props = Props::new(&session);
    // There is something to copy, and a name to tell of.
    session.set_word(props.object, 0, 1);
    session.bind(b"/told", props.object, false).expect("BIND");
    let hole = Map::anonymous(map::PAGE, 0).expect("mmap");
    let mut tried = 0;
    for case in props.cases() {
        for at in &case.addresses {
            for address in bad_addresses(hole.at(0)) {
                let got = case.issue(session.raw(), &mut case.with(*at, address.as_bytes()));
                let what = format!("{} of {} +{at}", case.command.name, address);
                assert_eq!(got, Err(Errno::EFAULT), "{what}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 50, "only {tried}");
    session.unbind(b"/told").expect("UNBIND");
}

/// Every command through `fd` is `EPERM`.
fn nothing_works(fd: i32, props: &Props) {
    for case in props.cases() {
        let got = case.issue(fd, &mut case.valid.clone());
        assert_eq!(got, Err(Errno::EPERM), "{}", case.command.name);
    }
}

fn a_forked_child_has_no_session() {
    let world = World::new();
    let props = Props::new(&world.session);
    let child = process::fork(|| {
        nothing_works(world.session.raw(), &props);
        let got = Map::shared(&world.fd, 1 << 30, libc::PROT_READ).map(|_| ());
        assert_eq!(got, Err(Errno::EPERM), "mmap of the view's descriptor");
        // Not even before its parent has greeted, and its own session works.
        assert!(Session::open().stat(props.object).is_ok());
        0
    });
    child.succeed();
    assert!(world.session.stat(props.object).is_ok(), "the parent's still works");
}

fn a_receiver_of_the_descriptor_has_no_session() {
    let (near, far) = process::socket_pair();
    // It is there before the session is.
    let child = process::fork(|| {
        let own = Session::open();
        let props = Props::new(&own);
        let session = process::receive_fd(&far).expect("a descriptor");
        let view = process::receive_fd(&far).expect("a descriptor");
        nothing_works(session.as_raw_fd(), &props);
        let got = Map::shared(&view, 1 << 30, libc::PROT_READ).map(|_| ());
        assert_eq!(got, Err(Errno::EPERM), "mmap of the view's descriptor");
        0
    });
    let world = World::new();
    process::send_fd(&near, world.session.raw()).expect("send");
    process::send_fd(&near, world.fd.as_raw_fd()).expect("send");
    child.succeed();
}

/// What [`a_program_that_was_execed_has_no_session`] execs.
pub fn execed(fd: i32) -> i32 {
    let mut info = abi::LastError::default();
    let command = sys::command(fd, abi::LAST_ERROR, &mut info);
    let unknown = sys::command(fd, abi::STAT, &mut abi::Stat::default());
    match (command, unknown) {
        (Err(Errno::EPERM), Err(Errno::EPERM)) => 0,
        other => {
            println!("in the new program: {other:?}");
            1
        }
    }
}

fn a_program_that_was_execed_has_no_session() {
    let child = process::fork(|| {
        let session = Session::open();
        process::keep_on_exec(session.raw());
        let error = process::exec_self(&["child-execed", &session.raw().to_string()]);
        panic!("exec: {error:?}");
    });
    child.succeed();
}

fn a_second_open_is_a_second_session() {
    let (first, second) = (Session::open(), Session::open());
    let id = first.object(PAGE);
    assert_eq!(second.stat(id).map(|stat| stat.size), Ok(PAGE));
    drop(first);
    assert_eq!(second.stat(id).map(|_| ()), Err(Errno::ENOENT), "the first has deleted it");
}

fn last_error_begins_with_nothing() {
    let session = Session::open();
    let last = session.last_error();
    assert_eq!((last.errno, last.reason, last.id), (0, reason::NONE, ObjectId::NULL));
}

fn last_error_tells_of_a_command() {
    let session = Session::open();
    let id = session.create(PAGE, Rights::READ | Rights::DELETE);
    assert_eq!(session.write(id, PAGE, &[1]), Err(Errno::EACCES));
    let last = session.last_error();
    assert_eq!((last.errno as i32, last.reason), (Errno::EACCES.0, reason::CONTEXT_DENIES));
    assert_eq!((last.id, last.wanted), (id, Rights::WRITE.0));
    assert_eq!(last.granted & Rights::WRITE.0, 0);
    assert!(session.stat(id).is_ok());
    assert_eq!(session.last_error(), last, "it stays until the next refusal");
}

fn last_error_tells_of_a_fault() {
    let world = World::new();
    let id = world.session.create(PAGE, OPEN);
    world.show(2, id, Rights::READ);
    let at = world.at(2, 16);
    assert_eq!(probe::load(at), Ok(0));
    assert!(probe::store(at, 1).unwrap_err().is_segv_at(at));
    let last = world.session.last_error();
    assert_eq!((last.reason, last.id), (reason::VIEW_DENIES, id));
    assert_eq!((last.address, last.wanted), (at as u64, Rights::WRITE.0));
    let empty = world.at(3, 0);
    assert!(probe::load(empty).unwrap_err().is_segv_at(empty));
    let last = world.session.last_error();
    assert_eq!((last.reason, last.address), (reason::NO_VIEW, empty as u64));
}

fn last_error_is_each_threads_own() {
    let session = Session::open();
    let unknown = ObjectId::from_u128(3 << 64 | 5);
    assert_eq!(session.stat(unknown).map(|_| ()), Err(Errno::ENOENT));
    let fd = session.raw();
    let other = std::thread::spawn(move || {
        let mut last = abi::LastError::default();
        sys::command(fd, abi::LAST_ERROR, &mut last).expect("LAST_ERROR");
        last.errno
    });
    assert_eq!(other.join().expect("a thread"), 0);
    assert_eq!(session.last_error().errno as i32, Errno::ENOENT.0);
}

fn info_counts_objects_and_pages() {
    let session = Session::open();
    let before = session.info();
    assert_eq!((before.format_version, before.read_only), (FORMAT_VERSION, 0));
    assert!(before.pages > before.data_pages && before.data_pages > before.free_pages);
    assert!(before.records > before.objects);
    let id = session.object(64 * PAGE);
    let made = session.info();
    assert_eq!((made.objects, made.free_pages), (before.objects + 1, before.free_pages));
    assert_eq!(session.write(id, PAGE, &[1; 4096]), Ok(PAGE));
    assert_eq!(session.info().free_pages, before.free_pages - 1);
    assert_eq!(session.stat(id).map(|stat| stat.pages), Ok(1));
    assert_eq!(session.delete(id), Ok(()));
    let after = session.info();
    assert_eq!((after.objects, after.free_pages), (before.objects, before.free_pages));
}

fn other_operations_on_the_device_fail() {
    let session = Session::open();
    let mut byte = 0u8;
    let address = (&raw mut byte) as usize;
    let fd = session.raw() as usize;
    // Read and write of one byte of this function's.
    let read = process::syscall(libc::SYS_read, [fd, address, 1, 0, 0, 0]);
    assert_eq!(read, Err(Errno::EINVAL), "read");
    let write = process::syscall(libc::SYS_write, [fd, address, 1, 0, 0, 0]);
    assert_eq!(write, Err(Errno::EINVAL), "write");
    let device = sys::open_device().expect("open");
    let got = Map::shared(&device, map::PAGE, libc::PROT_READ).map(|_| ());
    assert!(got.is_err(), "mmap of a session that is not a view's descriptor: {got:?}");
}
