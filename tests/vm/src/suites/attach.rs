// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attaching, switching, leaving: rules A1 to A5, A8 to A11 of SECURITY.md, each test
//! by its rule's number. What a fault does is in `sandbox.rs`.

use std::os::fd::{AsRawFd as _, OwnedFd};

use twz_abi::{
    ObjectId, PAGE, Rights,
    ioctl::{
        self as abi,
        attach_flags::{CLOEXEC, SWITCH},
    },
    reason,
    security::context_flags::{CONFINED, UNDETACHABLE},
};

use crate::{
    errno::{Errno, Result},
    file::File,
    ktap::Test,
    map::{self, Map, RWX},
    probe, process,
    security::{Owner, context, context_for},
    sys::{self, Session},
    tests,
    world::{OPEN, RW, RWX_RIGHTS, World},
};

/// The suite.
pub const TESTS: &[Test] = tests![
    a1_attaching_takes_the_right_to_use,
    a1_or_a_proof_by_the_owner_that_serves_once,
    a1_as_the_active_context_says,
    a1_at_most_sixteen,
    a1_what_is_no_context_is_not_attached,
    a2_the_default_context_is_left_for_good,
    a3_a_switch_is_to_what_is_attached_and_for_all_threads,
    a4_the_active_and_the_undetachable_stay,
    a5_a_confined_context_is_not_left_by_call,
    a8_who_is_traced_attaches_and_switches_not,
    a8_who_is_attached_is_not_dumpable,
    a9_a_child_has_what_its_parent_had,
    a9_a_program_has_what_was_there_less_what_was_not_to_be,
    a9_out_of_a_confined_context_goes_that_one_alone,
    a9_what_is_undetachable_stays_beyond_exec,
    a10_a_descriptor_that_travels_carries_nothing,
    a11_a_descriptor_asks_the_active_context,
    a11_and_so_does_memory_that_shows_it,
    a11_so_does_every_command,
    members_go_with_their_programs,
];

/// No context, which is how the default one is called.
pub const DEFAULT: ObjectId = ObjectId::NULL;

/// Does something in a child that shows the same view, where it is attached to what it likes.
pub fn inside(world: &World, act: impl FnOnce(&World)) {
    process::fork(|| {
        let world = World::of(Session::open(), world.view, world.slots, RWX);
        act(&world);
        0
    })
    .succeed();
}

/// That a command was refused for this reason.
pub fn refused(session: &Session, got: Result, errno: Errno, why: u32) {
    assert_eq!(got, Err(errno));
    let last = session.last_error();
    assert_eq!(last.reason, why, "{}", reason::text(last.reason));
}

fn a1_attaching_takes_the_right_to_use() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let open = context(&world.session, owner.id, Rights::ALL, 0);
    let closed = context_for(&world.session, owner.id, Rights::ALL, 0, Rights::NONE);
    inside(&world, |world| {
        let s = &world.session;
        refused(s, s.attach(closed, 0), Errno::EACCES, reason::NO_USE);
        assert_eq!(s.last_error().id, closed);
        let told = s.contexts();
        assert_eq!((told.active, told.count, told.flags), (DEFAULT, 1, 0));
        assert_eq!(s.attach(open, 0), Ok(()));
        let told = s.contexts();
        assert_eq!((told.active, told.count), (DEFAULT, 2));
        assert_eq!(told.attached[..3], [DEFAULT, open, DEFAULT]);
        assert_eq!(s.attach(open, 0), Err(Errno::EEXIST), "twice");
        assert_eq!(s.attach(DEFAULT, 0), Err(Errno::EEXIST), "twice");
        assert_eq!(s.switch(open), Ok(()));
        assert_eq!(s.active(), open);
        assert_eq!(s.switch(open), Ok(()), "where one is already");
        assert_eq!(s.attach(closed, 8), Err(Errno::EINVAL), "an unknown flag");
    });
}

fn a1_or_a_proof_by_the_owner_that_serves_once() {
    let world = World::new();
    let [owner, other] = [1, 2].map(|n| Owner::new(&world.session, n));
    let make = || context_for(&world.session, owner.id, Rights::ALL, 0, Rights::NONE);
    let [first, second] = [make(), make()];
    inside(&world, |world| {
        let s = &world.session;
        let no = |id, signature| {
            refused(s, s.attach_proven(id, 0, signature), Errno::EACCES, reason::NO_USE);
        };
        no(first, [0; 64]);
        no(first, other.proof(&s.claim(first)));
        no(first, owner.proof(&s.claim(second)));
        let old = owner.proof(&s.claim(first));
        let claim = s.claim(first);
        no(first, old);
        // What was refused has used it up.
        no(first, owner.proof(&claim));
        let proof = owner.proof(&s.claim(first));
        assert_eq!(s.attach_proven(first, SWITCH, proof), Ok(()));
        assert_eq!(s.active(), first);
        assert_eq!(s.switch(DEFAULT), Ok(()));
        assert_eq!(s.detach(first), Ok(()));
        no(first, proof);
        // Another one's nonce is not ours.
        let claim = s.claim(second);
        let session = Session::open();
        assert_eq!(s.attach_proven(second, 0, owner.proof(&claim)), Ok(()));
        drop(session);
    });
}

fn a1_as_the_active_context_says() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let narrow = context(&world.session, owner.id, RW, 0);
    let open = context(&world.session, owner.id, Rights::ALL, 0);
    inside(&world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(narrow, SWITCH), Ok(()));
        refused(s, s.attach(open, 0), Errno::EACCES, reason::NO_USE);
        assert_eq!(s.last_error().granted, RW.0);
        assert_eq!(s.switch(DEFAULT), Ok(()));
        assert_eq!(s.attach(open, 0), Ok(()));
    });
}

fn a1_at_most_sixteen() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let contexts: Vec<ObjectId> =
        (0..16).map(|_| context(&world.session, owner.id, Rights::ALL, 0)).collect();
    inside(&world, |world| {
        let s = &world.session;
        for id in &contexts[..15] {
            assert_eq!(s.attach(*id, 0), Ok(()));
        }
        refused(s, s.attach(contexts[15], 0), Errno::ENOSPC, reason::TOO_MANY);
        assert_eq!(s.contexts().count, 16);
        assert_eq!(s.contexts().attached[1..], contexts[..15]);
        // In the middle, and the order of the others is as it was.
        assert_eq!(s.detach(contexts[3]), Ok(()));
        assert_eq!(s.attach(contexts[15], 0), Ok(()));
        let told = s.contexts();
        assert_eq!((told.attached[4], told.attached[15]), (contexts[4], contexts[15]));
    });
}

fn a1_what_is_no_context_is_not_attached() {
    let world = World::new();
    let plain = world.session.create(PAGE, OPEN);
    let gone = world.session.create(PAGE, OPEN);
    assert_eq!(world.session.delete(gone), Ok(()));
    inside(&world, |world| {
        let s = &world.session;
        refused(s, s.attach(plain, SWITCH), Errno::EINVAL, reason::BAD_CONTEXT);
        refused(s, s.attach(gone, SWITCH), Errno::ENOENT, reason::NO_OBJECT);
        assert_eq!(s.contexts().count, 1);
    });
}

fn a2_the_default_context_is_left_for_good() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let id = context(&world.session, owner.id, Rights::ALL, 0);
    inside(&world, |world| {
        let s = &world.session;
        refused(s, s.detach(DEFAULT), Errno::EBUSY, reason::UNDETACHABLE);
        assert_eq!(s.attach(id, SWITCH), Ok(()));
        assert_eq!(s.detach(DEFAULT), Ok(()));
        assert_eq!((s.contexts().count, s.active()), (1, id));
        refused(s, s.switch(DEFAULT), Errno::ENOENT, reason::NOT_ATTACHED);
        refused(s, s.attach(DEFAULT, 0), Errno::EACCES, reason::NO_USE);
        refused(s, s.detach(id), Errno::EBUSY, reason::UNDETACHABLE);
    });
}

fn a3_a_switch_is_to_what_is_attached_and_for_all_threads() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let none = context(&world.session, owner.id, Rights::NONE, 0);
    world.object(2, PAGE, OPEN);
    inside(&world, |world| {
        let s = &world.session;
        refused(s, s.switch(none), Errno::ENOENT, reason::NOT_ATTACHED);
        assert_eq!(s.attach(none, 0), Ok(()));
        let (at, fd) = (world.at(2, 0), s.raw());
        let told = process::Shared::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(probe::load(at), Ok(0));
                told.set(0, 1);
                told.await_at_least(1, 1);
                assert!(probe::load(at).is_err(), "in the other thread as well");
                let mut last = abi::LastError::default();
                assert_eq!(sys::command(fd, abi::LAST_ERROR, &mut last), Ok(()));
                assert_eq!(last.reason, reason::THREADS);
            });
            told.await_at_least(0, 1);
            assert_eq!(s.switch(none), Ok(()));
            told.set(1, 1);
        });
        assert_eq!(s.active(), none);
    });
}

fn a4_the_active_and_the_undetachable_stay() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let kept = context(&world.session, owner.id, Rights::ALL, UNDETACHABLE);
    let plain = context(&world.session, owner.id, Rights::ALL, 0);
    inside(&world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(kept, SWITCH), Ok(()));
        assert_eq!(s.contexts().flags, UNDETACHABLE);
        assert_eq!(s.attach(plain, 0), Ok(()));
        refused(s, s.detach(kept), Errno::EBUSY, reason::UNDETACHABLE);
        assert_eq!(s.switch(plain), Ok(()));
        refused(s, s.detach(kept), Errno::EBUSY, reason::UNDETACHABLE);
        refused(s, s.detach(plain), Errno::EBUSY, reason::UNDETACHABLE);
        assert_eq!(s.switch(DEFAULT), Ok(()));
        assert_eq!(s.detach(plain), Ok(()));
        refused(s, s.detach(plain), Errno::ENOENT, reason::NOT_ATTACHED);
        assert_eq!(s.contexts().attached[..2], [DEFAULT, kept]);
    });
}

fn a5_a_confined_context_is_not_left_by_call() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let confined = context(&world.session, owner.id, Rights::ALL, CONFINED);
    let [there, new] = [(); 2].map(|()| context(&world.session, owner.id, Rights::ALL, 0));
    inside(&world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(there, 0), Ok(()));
        assert_eq!(s.attach(confined, SWITCH), Ok(()));
        assert_eq!(s.contexts().flags, CONFINED);
        let no = |got| refused(s, got, Errno::EPERM, reason::CONFINED);
        no(s.switch(DEFAULT));
        no(s.switch(there));
        no(s.switch(confined));
        no(s.detach(there));
        no(s.detach(DEFAULT));
        no(s.attach(new, 0));
        no(s.attach_proven(new, 0, owner.proof(&s.claim(new))));
        assert_eq!((s.active(), s.contexts().count), (confined, 3));
    });
}

/// Has this process be traced by its parent, which goes on as if it were not.
pub fn be_traced() {
    // SAFETY: plain values.
    let done = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
    assert_eq!(done, 0, "{:?}", Errno::last());
}

fn a8_who_is_traced_attaches_and_switches_not() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let [id, other] = [(); 2].map(|()| context(&world.session, owner.id, Rights::ALL, 0));
    inside(&world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(id, 0), Ok(()));
        be_traced();
        refused(s, s.attach(other, 0), Errno::EPERM, reason::TRACED);
        refused(s, s.switch(id), Errno::EPERM, reason::TRACED);
        assert_eq!((s.active(), s.contexts().count), (DEFAULT, 2));
    });
}

fn dumpable() -> i32 {
    // SAFETY: plain values.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }
}

fn a8_who_is_attached_is_not_dumpable() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let closed = context_for(&world.session, owner.id, Rights::ALL, 0, Rights::NONE);
    let id = context(&world.session, owner.id, Rights::ALL, 0);
    inside(&world, |world| {
        let s = &world.session;
        assert_eq!(dumpable(), 1);
        assert_eq!(s.attach(closed, 0), Err(Errno::EACCES));
        assert_eq!(s.switch(id), Err(Errno::ENOENT));
        assert_eq!(dumpable(), 1, "what was refused leaves no trace");
        assert_eq!(s.attach(id, 0), Ok(()));
        assert_eq!(dumpable(), 0);
        process::fork(dumpable).succeed();
        let child = process::fork(|| process::exec_self(&["child-contexts", "hidden"]).0);
        child.succeed();
    });
}

/// What a program that was execed says of its contexts: that the active one and those
/// that are attached are these.
pub fn execed(expected: &[&str]) -> i32 {
    if let ["hidden"] = expected {
        return dumpable();
    }
    let told = Session::open().contexts();
    let attached = told.attached[..told.count as usize].iter();
    let got: Vec<String> =
        [&told.active].into_iter().chain(attached).map(ObjectId::to_string).collect();
    if got != expected {
        println!("in the new program {got:?}, not {expected:?}");
    }
    (got != expected) as i32
}

/// That a program that this one execs in a child has these contexts, the active one first.
fn exec_has(contexts: &[ObjectId]) {
    let words: Vec<String> = contexts.iter().map(ObjectId::to_string).collect();
    let child = process::fork(|| {
        let mut arguments = vec!["child-contexts"];
        arguments.extend(words.iter().map(String::as_str));
        process::exec_self(&arguments).0
    });
    child.succeed();
}

fn a9_a_child_has_what_its_parent_had() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let [a, b] = [(); 2].map(|()| context(&world.session, owner.id, RWX_RIGHTS, 0));
    let secret = world.object(2, PAGE, OPEN);
    inside(&world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(a, 0), Ok(()));
        assert_eq!(s.attach(b, SWITCH | CLOEXEC), Ok(()));
        let nonce = s.contexts().nonce;
        inside(world, |world| {
            let s = &world.session;
            let told = s.contexts();
            assert_eq!((told.active, told.count), (b, 3));
            assert_eq!(told.attached[..3], [DEFAULT, a, b]);
            assert_ne!(told.nonce, nonce);
            assert_eq!(s.delete(secret), Err(Errno::EACCES), "which masks deletion");
            assert_eq!(s.switch(DEFAULT), Ok(()));
            assert_eq!(s.detach(b), Ok(()));
        });
        assert_eq!((s.active(), s.contexts().count), (b, 3), "and its parent has it still");
    });
}

fn a9_a_program_has_what_was_there_less_what_was_not_to_be() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let [a, b] = [(); 2].map(|()| context(&world.session, owner.id, Rights::ALL, 0));
    inside(&world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(a, SWITCH), Ok(()));
        exec_has(&[a, DEFAULT, a]);
        assert_eq!(s.attach(b, SWITCH | CLOEXEC), Ok(()));
        exec_has(&[DEFAULT, DEFAULT, a]);
        assert_eq!(s.detach(DEFAULT), Ok(()));
        exec_has(&[a, a]);
        assert_eq!(s.detach(a), Ok(()));
        // Who would be left in none stays where it is.
        exec_has(&[b, b]);
    });
}

fn a9_out_of_a_confined_context_goes_that_one_alone() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let confined = context(&world.session, owner.id, Rights::ALL, CONFINED);
    let other = context(&world.session, owner.id, Rights::ALL, 0);
    inside(&world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(other, 0), Ok(()));
        assert_eq!(s.attach(confined, SWITCH | CLOEXEC), Ok(()));
        inside(world, |world| {
            let told = world.session.contexts();
            assert_eq!((told.active, told.count, told.attached[0]), (confined, 1, confined));
            let got = world.session.switch(DEFAULT);
            refused(&world.session, got, Errno::EPERM, reason::CONFINED);
        });
        exec_has(&[confined, confined]);
        // And so does a child's child's program, which nobody asked in between.
        process::fork(|| {
            exec_has(&[confined, confined]);
            0
        })
        .succeed();
    });
}

fn a9_what_is_undetachable_stays_beyond_exec() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let kept = context(&world.session, owner.id, Rights::ALL, UNDETACHABLE);
    inside(&world, |world| {
        assert_eq!(world.session.attach(kept, SWITCH | CLOEXEC), Ok(()));
        exec_has(&[kept, DEFAULT, kept]);
    });
}

fn a10_a_descriptor_that_travels_carries_nothing() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let none = context(&world.session, owner.id, Rights::NONE, 0);
    let id = world.object(2, PAGE, OPEN);
    inside(&world, |world| {
        let s = &world.session;
        let fd = s.open_fd(id, RW).expect("OPEN_FD");
        assert_eq!(s.attach(none, SWITCH), Ok(()));
        let child = process::fork(|| {
            // Neither the session nor the descriptor says who its parent was.
            let session = s.switch(DEFAULT) == Err(Errno::EPERM);
            let file = File(fd.try_clone().expect("a descriptor"));
            (!session || file.pread(&mut [0; 8], 0) != Err(Errno::EACCES)) as i32
        });
        child.succeed();
    });
}

/// A descriptor of an object, and the same for a process that is in a context.
fn file(fd: &OwnedFd) -> File {
    File(fd.try_clone().expect("a descriptor"))
}

fn a11_a_descriptor_asks_the_active_context() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let read = context(&world.session, owner.id, Rights::READ, 0);
    let none = context(&world.session, owner.id, Rights::NONE, 0);
    let id = world.object(2, PAGE, OPEN);
    inside(&world, |world| {
        let s = &world.session;
        let fd = s.open_fd(id, RW).expect("OPEN_FD");
        let file = file(&fd);
        let uses = || {
            let read = file.pread(&mut [0; 8], 0);
            (read, file.pwrite(&[1; 8], 0), file.truncate(PAGE), file.allocate(0, 0, PAGE))
        };
        assert_eq!(uses(), (Ok(8), Ok(8), Ok(()), Ok(())));
        let no = Errno::EACCES;
        assert_eq!(s.attach(read, SWITCH), Ok(()));
        assert_eq!(uses(), (Ok(8), Err(no), Err(no), Err(no)));
        assert_eq!(s.open_fd(id, RW).err(), Some(no));
        assert_eq!(s.attach(none, 0), Err(no), "USE is masked");
        assert_eq!(s.switch(DEFAULT), Ok(()));
        assert_eq!(s.attach(none, SWITCH), Ok(()));
        assert_eq!(uses(), (Err(no), Err(no), Err(no), Err(no)));
        assert_eq!(s.switch(DEFAULT), Ok(()));
        assert_eq!(uses(), (Ok(8), Ok(8), Ok(()), Ok(())));
    });
}

fn a11_and_so_does_memory_that_shows_it() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let none = context(&world.session, owner.id, Rights::NONE, CONFINED);
    let id = world.object(2, 2 * PAGE, OPEN);
    inside(&world, |world| {
        let s = &world.session;
        let fd = s.open_fd(id, RW).expect("OPEN_FD");
        let memory = Map::shared(&fd, 2 * map::PAGE, map::RW).expect("mmap");
        assert_eq!(probe::store(memory.at(0), 5), Ok(()));
        assert_eq!(s.attach(none, SWITCH), Ok(()));
        for at in [memory.at(0), memory.at(map::PAGE)] {
            assert!(probe::load(at).is_err(), "mapped before or not");
            assert_eq!(s.last_error().reason, reason::CONFINED);
        }
        assert!(probe::store(memory.at(0), 6).is_err());
    });
    assert_eq!(world.session.word(id, 0), 5);
}

fn a11_so_does_every_command() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let none = context(&world.session, owner.id, Rights::NONE, 0);
    let id = world.object(2, PAGE, OPEN);
    inside(&world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(none, SWITCH), Ok(()));
        let no = |got: Result| refused(s, got, Errno::EACCES, reason::CONTEXT_DENIES);
        no(s.read(id, PAGE, &mut [0; 8]).map(|_| ()));
        no(s.write(id, PAGE, &[0; 8]).map(|_| ()));
        no(s.resize(id, 1));
        no(s.reserve(id, 0, PAGE));
        no(s.delete(id));
        no(s.copy(id).map(|_| ()));
        no(s.open_fd(id, Rights::READ).map(|_| ()));
        no(s.wait(id, PAGE, 0, 1000));
        no(s.wake(id, PAGE, 1).map(|_| ()));
        no(s.set_view(world.view).map(|_| ()));
        no(s.invalidate(world.view, 2, 1));
        assert_eq!(s.resolve(id, RWX_RIGHTS).expect("RESOLVE").granted, 0);
        assert!(s.stat(id).is_ok(), "what it is, everybody may know");
    });
}

/// How many memory maps are members.
fn members() -> u64 {
    let state = std::fs::read_to_string("/sys/kernel/debug/twz/state").expect("debugfs");
    let line = state.lines().find_map(|line| line.strip_prefix("members "));
    line.and_then(|n| n.parse().ok()).expect("a line of members")
}

fn members_go_with_their_programs() {
    let world = World::new();
    assert!(world.session.raw().as_raw_fd() >= 0);
    for _ in 0..40 {
        process::fork(|| 0).succeed();
    }
    let begun = std::time::Instant::now();
    // This one, and whoever runs the tests.
    while members() > 4 {
        assert!(begun.elapsed().as_secs() < 30, "{} are left", members());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
