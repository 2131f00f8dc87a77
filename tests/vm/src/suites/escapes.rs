// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attacks on contexts that one guard of the module stops each: leaving one, gaining
//! what it does not allow, or handing it on. On a module that was built without the
//! guard the same attack succeeds.

use std::os::fd::AsRawFd as _;

use twz_abi::{
    DATA_START, ObjectId, PAGE, Rights, SLOT,
    ioctl::attach_flags::{CLOEXEC, SWITCH},
    security::context_flags::{CONFINED, UNDETACHABLE},
};

use crate::{
    attacks,
    errno::Errno,
    file::File,
    ktap::{Attack, Test},
    map::{self, Map, RWX},
    probe, process,
    security::{Owner, context, context_for, gate, put},
    suites::{
        attach::{DEFAULT, be_traced, inside},
        sandbox::{CODE, Cast, GATE, SAID, SECRET},
    },
    sys::{self, Session},
    world::{OPEN, RW, RWX_RIGHTS, World},
};

/// The suite.
pub const TESTS: &[Test] = attacks![
    switch_zap: read_what_the_context_before_had_mapped,
    switch_zap: store_from_another_processor_after_a_switch,
    alone: have_another_thread_gain_by_a_fault,
    traced: gain_while_traced,
    traced: attach_while_traced,
    hide: trace_who_is_attached,
    hide: trace_what_it_execs,
    straddle: enter_between_two_pages,
    confined: leave_by_call,
    undetachable: detach_what_stays,
    use: attach_without_the_right,
    nonce_once: use_a_proof_twice,
    inherit: leave_by_fork,
    inherit: leave_by_exec,
    inherit_confined: take_other_contexts_along,
    cloexec: keep_beyond_exec_what_is_not_to_be,
    descriptor_asks: read_by_a_descriptor,
    descriptor_asks: read_by_memory_of_a_descriptor,
];

/// What a child comes to that attaches itself as it likes.
fn attacking(world: &World, act: impl FnOnce(&World) -> bool) -> Attack {
    let told = process::Shared::new();
    inside(world, |world| told.set(0, act(world) as u64));
    Attack::succeeded(told.get(0) == 1)
}

/// A context that masks everything.
fn nothing(world: &World, flags: u32) -> ObjectId {
    let owner = Owner::new(&world.session, 1);
    context(&world.session, owner.id, Rights::NONE, flags)
}

fn read_what_the_context_before_had_mapped() -> Attack {
    let cast = Cast::new();
    attacking(&cast.world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(cast.program, SWITCH), Ok(()));
        assert_eq!(probe::load(world.at(SECRET, 0)), Ok(SAID));
        assert_eq!(s.attach(cast.library, SWITCH), Ok(()));
        probe::load(world.at(SECRET, 0)) == Ok(SAID)
    })
}

/// Its translation is in that processor, until the switch sees to it.
fn store_from_another_processor_after_a_switch() -> Attack {
    let cast = Cast::new();
    attacking(&cast.world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(cast.program, SWITCH), Ok(()));
        assert_eq!(s.attach(cast.library, 0), Ok(()));
        let (at, told) = (world.at(SECRET, 8), process::Shared::new());
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let mut stored = 0;
                loop {
                    // Told before: what is stored after that is after the switch.
                    let after = told.get(1) == 1;
                    match probe::store(at, stored) {
                        Ok(()) if after => return true,
                        Ok(()) => stored += 1,
                        Err(_) => return false,
                    }
                    told.set(0, stored);
                }
            });
            told.await_at_least(0, 1000);
            assert_eq!(s.switch(cast.library), Ok(()));
            told.set(1, 1);
            other.join().expect("a thread")
        })
    })
}

fn have_another_thread_gain_by_a_fault() -> Attack {
    let cast = Cast::new();
    attacking(&cast.world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(cast.program, SWITCH), Ok(()));
        assert_eq!(s.attach(cast.library, SWITCH), Ok(()));
        let (gate, secret) = (world.slot(CODE, GATE), world.at(SECRET, 0));
        let told = process::Shared::new();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                told.await_at_least(0, 1);
                probe::load(secret) == Ok(SAID)
            });
            let _ = probe::exec(gate);
            told.set(0, 1);
            other.join().expect("a thread")
        })
    })
}

/// The kernel touches memory for it: a signal would stop who is traced.
fn gain_while_traced() -> Attack {
    let cast = Cast::new();
    let narrow = context(&cast.world.session, cast.owner.id, Rights::USE, 0);
    attacking(&cast.world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(cast.program, 0), Ok(()));
        assert_eq!(s.attach(narrow, SWITCH), Ok(()));
        be_traced();
        let zero = sys::open("/dev/zero", libc::O_RDONLY).expect("/dev/zero");
        let arguments = [zero.as_raw_fd() as usize, world.at(SECRET, 0), 8, 0, 0, 0];
        // The kernel writes to the arena, if it may.
        process::syscall(libc::SYS_read, arguments) == Ok(8)
    })
}

fn attach_while_traced() -> Attack {
    let cast = Cast::new();
    attacking(&cast.world, |world| {
        be_traced();
        world.session.attach(cast.program, SWITCH).is_ok()
    })
}

/// Makes this process one of nobody's in particular.
fn become_a_user() {
    // SAFETY: plain values.
    unsafe {
        assert_eq!(libc::setresuid(1000, 1000, 1000), 0, "{:?}", Errno::last());
        // As a program is that was started by its user.
        assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1), 0);
        libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY);
    }
}

/// Whether a process of the same user begins to trace another.
fn traces(pid: libc::pid_t) -> bool {
    let told = process::Shared::new();
    let child = process::fork(|| {
        // SAFETY: plain values.
        let done = unsafe {
            assert_eq!(libc::setresuid(1000, 1000, 1000), 0);
            libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0)
        };
        told.set(0, (done == 0) as u64);
        0
    });
    child.succeed();
    told.get(0) == 1
}

fn trace_who_is_attached() -> Attack {
    let cast = Cast::new();
    let (told, world) = (process::Shared::new(), &cast.world);
    let child = process::fork(|| {
        let world = World::of(Session::open(), world.view, world.slots, RWX);
        become_a_user();
        told.set(0, 1);
        told.await_at_least(1, 1);
        assert_eq!(world.session.attach(cast.program, SWITCH), Ok(()));
        told.set(0, 2);
        told.await_at_least(1, 2);
        0
    });
    told.await_at_least(0, 1);
    // It could be, but for the contexts; the tracer has ended, and it is free again.
    assert!(traces(child.pid()), "a process of the same user");
    told.set(1, 1);
    told.await_at_least(0, 2);
    let got = traces(child.pid());
    told.set(1, 2);
    child.succeed();
    Attack::succeeded(got)
}

/// A new program can be traced, unless it inherits something.
fn trace_what_it_execs() -> Attack {
    let cast = Cast::new();
    attacking(&cast.world, |world| {
        assert_eq!(world.session.attach(cast.program, SWITCH), Ok(()));
        // It answers with whether it can be dumped, which is the same.
        let child = process::fork(|| process::exec_self(&["child-contexts", "hidden"]).0);
        child.wait() != process::Status::Exited(0)
    })
}

/// An instruction of two bytes: the first is the library's, the second at the gate.
fn enter_between_two_pages() -> Attack {
    let cast = Cast::new();
    let s = &cast.world.session;
    // `rep ret`, of a page that both run and one that is entered at its beginning.
    let theirs = cast.world.object(6, PAGE, OPEN);
    assert_eq!(s.write(theirs, 2 * PAGE - 1, &[0xf3]), Ok(1));
    let ours = cast.owner.secret(s, &[0xc3; PAGE as usize]);
    put(s, cast.program, 2, &cast.owner.grant(ours, cast.program, Rights(5), gate(DATA_START)));
    cast.world.show(7, ours, RWX_RIGHTS);
    attacking(&cast.world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(cast.program, SWITCH), Ok(()));
        assert_eq!(s.attach(cast.library, SWITCH), Ok(()));
        let room = Map::anonymous(2 * map::PAGE, libc::PROT_NONE).expect("mmap");
        for (n, slot) in [(0, 6), (1, 7)] {
            let (at, fd) = (room.at(n * map::PAGE), world.fd.as_raw_fd());
            let flags = libc::MAP_SHARED | libc::MAP_FIXED;
            let offset = slot * SLOT + DATA_START;
            assert_eq!(map::mmap(at, map::PAGE, RWX, flags, fd, offset), Ok(at));
        }
        let ran = probe::exec(room.at(map::PAGE - 1)).is_ok();
        assert_eq!(ran, s.active() == cast.program);
        ran
    })
}

fn leave_by_call() -> Attack {
    let world = World::new();
    let id = nothing(&world, CONFINED);
    attacking(&world, |world| {
        assert_eq!(world.session.attach(id, SWITCH), Ok(()));
        world.session.switch(DEFAULT).is_ok()
    })
}

fn detach_what_stays() -> Attack {
    let world = World::new();
    let id = nothing(&world, UNDETACHABLE);
    attacking(&world, |world| {
        assert_eq!(world.session.attach(id, 0), Ok(()));
        world.session.detach(id).is_ok()
    })
}

fn attach_without_the_right() -> Attack {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let id = context_for(&world.session, owner.id, Rights::ALL, 0, Rights::NONE);
    attacking(&world, |world| world.session.attach(id, SWITCH).is_ok())
}

fn use_a_proof_twice() -> Attack {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let id = context_for(&world.session, owner.id, Rights::ALL, 0, Rights::NONE);
    attacking(&world, |world| {
        let s = &world.session;
        let proof = owner.proof(&s.claim(id));
        assert_eq!(s.attach_proven(id, 0, proof), Ok(()));
        assert_eq!(s.detach(id), Ok(()));
        s.attach_proven(id, 0, proof).is_ok()
    })
}

fn leave_by_fork() -> Attack {
    let world = World::new();
    let id = nothing(&world, CONFINED);
    world.object(2, PAGE, OPEN);
    attacking(&world, |world| {
        assert_eq!(world.session.attach(id, SWITCH), Ok(()));
        let (view, slots) = (world.view, world.slots);
        let child = process::fork(|| {
            let session = Session::open();
            if session.set_view(view).is_err() {
                return 0;
            }
            let world = World::of(session, view, slots, map::RW);
            probe::load(world.at(2, 0)).is_ok() as i32
        });
        child.wait() == process::Status::Exited(1)
    })
}

fn leave_by_exec() -> Attack {
    let world = World::new();
    let id = nothing(&world, CONFINED);
    attacking(&world, |world| {
        assert_eq!(world.session.attach(id, SWITCH), Ok(()));
        let none = DEFAULT.to_string();
        let child = process::fork(|| process::exec_self(&["child-contexts", &none, &none]).0);
        child.wait() == process::Status::Exited(0)
    })
}

fn take_other_contexts_along() -> Attack {
    let cast = Cast::new();
    attacking(&cast.world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(cast.program, 0), Ok(()));
        assert_eq!(s.attach(cast.library, SWITCH), Ok(()));
        let child = process::fork(|| {
            let told = Session::open().contexts();
            (told.attached[..told.count as usize].contains(&cast.program)) as i32
        });
        child.wait() == process::Status::Exited(1)
    })
}

fn keep_beyond_exec_what_is_not_to_be() -> Attack {
    let cast = Cast::new();
    attacking(&cast.world, |world| {
        assert_eq!(world.session.attach(cast.program, SWITCH | CLOEXEC), Ok(()));
        let (none, program) = (DEFAULT.to_string(), cast.program.to_string());
        let child =
            process::fork(|| process::exec_self(&["child-contexts", &program, &none, &program]).0);
        child.wait() == process::Status::Exited(0)
    })
}

fn read_by_a_descriptor() -> Attack {
    let world = World::new();
    let id = world.object(2, PAGE, OPEN);
    let none = nothing(&world, 0);
    attacking(&world, |world| {
        let file = File(world.session.open_fd(id, RW).expect("OPEN_FD"));
        assert_eq!(world.session.attach(none, SWITCH), Ok(()));
        file.pread(&mut [0; 8], 0).is_ok() || file.pwrite(&[0; 8], 0).is_ok()
    })
}

fn read_by_memory_of_a_descriptor() -> Attack {
    let world = World::new();
    let id = world.object(2, PAGE, OPEN);
    let none = nothing(&world, CONFINED);
    attacking(&world, |world| {
        let fd = world.session.open_fd(id, RW).expect("OPEN_FD");
        let memory = Map::shared(&fd, map::PAGE, map::RW).expect("mmap");
        assert_eq!(world.session.attach(none, SWITCH), Ok(()));
        probe::load(memory.at(0)).is_ok()
    })
}
