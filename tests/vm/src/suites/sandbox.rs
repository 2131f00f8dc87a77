// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a fault does about contexts (rules A6 and A7 of SECURITY.md), and what they
//! are for: a program that calls a library it does not trust, in a confined context,
//! while what it keeps for itself is mapped beside it. What gets out where a guard of
//! the module is missing is in `escapes.rs`.

use std::os::fd::AsRawFd as _;

use twz_abi::{
    DATA_START, ObjectId, PAGE, Rights, SLOT,
    ioctl::attach_flags::SWITCH,
    reason,
    security::{Gate, Mask, RECORD, context_flags::CONFINED},
};
use twz_core::security::link::digest;

use crate::{
    errno::{Errno, Result},
    ktap::Test,
    map::{self, Map, RWX},
    probe, process,
    security::{Owner, context, gate, put},
    suites::attach::{DEFAULT, be_traced, inside},
    sys::{self, Session},
    tests,
    world::{OPEN, RET, RW, RWX_RIGHTS, World},
};

/// The suite.
pub const TESTS: &[Test] = tests![
    a6_a_refused_access_goes_on_in_the_first_context_that_allows_it,
    a6_never_beyond_the_view,
    a6a_a_gate_is_the_only_way_in,
    g8_the_first_64_gates_of_a_target_admit,
    a6b_the_code_that_runs_has_to_be_there_too,
    a6b_a_system_call_is_the_code_that_makes_it,
    a6c_out_of_a_confined_context_only_a_gate_leads,
    a6d_not_while_another_thread_has_the_memory,
    a6_a_page_that_may_be_read_is_entered_after_asking,
    a7_what_the_new_context_does_not_allow_is_gone,
    a7_large_pages_too,
    a7_what_comes_to_be_run_is_not_in_the_way,
    a8_who_is_traced_does_not_gain_at_a_fault,
    a_switch_costs_two_faults_whatever_is_shared,
    what_both_allow_costs_nothing_after_a_switch,
    a_library_sees_what_it_is_given_and_nothing_else,
    a_library_that_tries_everything_has_nothing,
    a_deputy_is_entered_where_it_says_or_not_at_all,
];

/// Who is in each of these tests, and what there is.
pub struct Cast {
    pub world: World,
    pub owner: Owner,
    /// What nobody has by default.
    pub secret: ObjectId,
    pub code: ObjectId,
    /// The context that has it.
    pub program: ObjectId,
    /// The confined one.
    pub library: ObjectId,
}

/// Where in `code` its only gate is: past its only call, where a `ret` is, as everywhere.
pub const GATE: u64 = DATA_START + 8;
/// The slots: what only the program has, its code, and what all have.
pub const SECRET: u32 = 2;
pub const CODE: u32 = 3;
pub const SHARED: u32 = 4;
/// What the secret holds.
pub const SAID: u64 = 0x7365_6372_6574;

impl Cast {
    pub fn new() -> Self {
        let world = World::to_run();
        let s = &world.session;
        let owner = Owner::new(s, 1);
        let mut data = vec![0; 4 * PAGE as usize];
        data[..8].copy_from_slice(&SAID.to_le_bytes());
        let secret = owner.secret(s, &data);
        // Calls its first argument with its second, and returns through a gate.
        let mut data = vec![0xc3; 2 * PAGE as usize];
        data[..8].copy_from_slice(&[0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0xff, 0xd0]);
        let code = owner.secret(s, &data);
        let shared = world.object(SHARED, 2 * PAGE, OPEN);
        let program = context(s, owner.id, Rights::ALL, 0);
        // It changes nothing but what it shares, neither contexts nor the view.
        let library = context(s, owner.id, Rights(1 | 4 | 8), CONFINED);
        put(s, program, 0, &owner.grant(secret, program, RW, Gate::NONE));
        put(s, program, 1, &owner.grant(code, program, Rights(5), gate(GATE)));
        put(s, library, 0, &Mask::new(shared, RWX_RIGHTS));
        world.show(SECRET, secret, RWX_RIGHTS);
        world.show(CODE, code, RWX_RIGHTS);
        Self { world, owner, secret, code, program, library }
    }

    /// Does something in a child that is attached to the program's context and acts in
    /// the library's, which is attached to nothing else.
    pub fn confined(&self, act: impl FnOnce(&World)) {
        inside(&self.world, |world| {
            let s = &world.session;
            assert_eq!(s.attach(self.program, SWITCH), Ok(()));
            assert_eq!(probe::load(world.at(SECRET, 0)), Ok(SAID));
            assert_eq!(s.attach(self.library, SWITCH), Ok(()));
            assert_eq!(s.detach(DEFAULT), Err(Errno::EPERM));
            act(world);
        });
    }
}

/// That an access was refused at an address, for this reason.
fn denied<T: std::fmt::Debug>(world: &World, got: Result<T, probe::Fault>, at: usize, why: u32) {
    let fault = got.expect_err("it was done");
    assert!(fault.is_segv_at(at), "{fault:?}");
    let last = world.session.last_error();
    assert_eq!(last.reason, why, "{}", reason::text(last.reason));
    assert_eq!(last.address, at as u64);
}

/// A context that masks everything but has these rights on one object.
pub fn context_with(world: &World, owner: &Owner, target: ObjectId, rights: Rights) -> ObjectId {
    let s = &world.session;
    let id = context(s, owner.id, Rights::USE, 0);
    put(s, id, 0, &owner.grant(target, id, rights, Gate::NONE));
    id
}

fn a6_a_refused_access_goes_on_in_the_first_context_that_allows_it() {
    let world = World::to_run();
    let owner = Owner::new(&world.session, 1);
    let id = owner.object(&world.session, PAGE, Rights::NONE);
    world.show(2, id, RWX_RIGHTS);
    let [reads, also, writes] =
        [Rights::READ, Rights::READ, RW].map(|r| context_with(&world, &owner, id, r));
    inside(&world, |world| {
        let (s, at) = (&world.session, world.at(2, 0));
        denied(world, probe::load(at), at, reason::CONTEXT_DENIES);
        for id in [reads, also, writes] {
            assert_eq!(s.attach(id, 0), Ok(()));
        }
        assert_eq!(s.active(), DEFAULT);
        assert_eq!(probe::load(at), Ok(0));
        assert_eq!(s.active(), reads);
        assert_eq!(probe::load(at), Ok(0));
        assert_eq!(probe::store(at, 5), Ok(()));
        assert_eq!(s.active(), writes);
        assert_eq!(probe::load(at), Ok(5));
        assert_eq!(s.active(), writes, "no reason to go back");
    });
}

fn a6_never_beyond_the_view() {
    let world = World::to_run();
    let owner = Owner::new(&world.session, 1);
    let id = owner.object(&world.session, PAGE, Rights::NONE);
    world.show(2, id, Rights::READ);
    let writes = context_with(&world, &owner, id, RW);
    inside(&world, |world| {
        let (s, at) = (&world.session, world.at(2, 0));
        assert_eq!(s.attach(writes, 0), Ok(()));
        denied(world, probe::store(at, 1), at, reason::VIEW_DENIES);
        assert_eq!(s.active(), DEFAULT);
        assert_eq!(probe::load(at), Ok(0));
    });
}

fn a6a_a_gate_is_the_only_way_in() {
    let cast = Cast::new();
    let none = context(&cast.world.session, cast.owner.id, Rights::USE, 0);
    inside(&cast.world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(none, SWITCH), Ok(()));
        assert_eq!(s.attach(cast.program, 0), Ok(()));
        for at in [GATE - 1, GATE + 1, DATA_START, DATA_START + PAGE + 8] {
            let at = world.slot(CODE, at);
            denied(world, probe::exec(at), at, reason::NO_GATE);
            assert_eq!(s.active(), none);
        }
        assert_eq!(probe::exec(world.slot(CODE, GATE)), Ok(()));
        assert_eq!(s.active(), cast.program);
        // Who is there goes where it likes.
        assert_eq!(probe::exec(world.slot(CODE, GATE + 8)), Ok(()));
        assert_eq!(probe::load(world.at(SECRET, 0)), Ok(SAID));
    });
}

/// More gates than count: by the order of the grants' hashes, not of their records.
fn g8_the_first_64_gates_of_a_target_admit() {
    let cast = Cast::new();
    let s = &cast.world.session;
    let none = context(s, cast.owner.id, Rights::USE, 0);
    assert_eq!(s.resize(cast.program, 80 * RECORD as u64), Ok(()));
    let mut gates: Vec<_> = (0..70)
        .map(|n| {
            let at = GATE + n * 16;
            let grant = cast.owner.grant(cast.code, cast.program, Rights(5), gate(at));
            put(s, cast.program, 1 + n, &grant);
            (digest(&grant), at)
        })
        .collect();
    gates.sort();
    inside(&cast.world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(none, SWITCH), Ok(()));
        assert_eq!(s.attach(cast.program, 0), Ok(()));
        for (n, (_, at)) in gates.iter().enumerate() {
            let at = world.slot(CODE, *at);
            if n < 64 {
                assert_eq!(probe::exec(at), Ok(()), "gate {n}");
                assert_eq!(s.active(), cast.program, "gate {n}");
                assert_eq!(s.switch(none), Ok(()));
            } else {
                denied(world, probe::exec(at), at, reason::NO_GATE);
            }
        }
    });
}

/// Code that loads from its first argument, or stores its second there.
const LOAD: [u8; 4] = [0x48, 0x8b, 0x07, 0xc3];
/// `mov rax, 0; syscall(read, 0: edi, rsi, rdx=8)`: `xor eax, eax; push 8; pop rdx; syscall; ret`.
const READ: [u8; 8] = [0x31, 0xc0, 0x6a, 0x08, 0x5a, 0x0f, 0x05, 0xc3];

fn a6b_the_code_that_runs_has_to_be_there_too() {
    let cast = Cast::new();
    let world = &cast.world;
    let s = &world.session;
    // Code of others: in the first everybody runs, the second not even the program.
    let [open, masked] = [6, 7].map(|slot| {
        let id = world.object(slot, PAGE, OPEN);
        assert_eq!(s.write(id, PAGE, &LOAD), Ok(4));
        id
    });
    put(s, cast.program, 20, &Mask::new(masked, Rights::READ));
    let beside = context(s, cast.owner.id, Rights::ALL, 0);
    assert_ne!(open, masked);
    inside(world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(beside, SWITCH), Ok(()));
        assert_eq!(s.detach(DEFAULT), Ok(()));
        assert_eq!(s.attach(cast.program, 0), Ok(()));
        let secret = world.at(SECRET, 0);
        let load = |slot| probe::call(world.at(slot, 0), secret as u64, 0);
        denied(world, load(7), secret, reason::CODE_DENIES);
        assert_eq!(s.active(), beside);
        assert_eq!(load(6), Ok(SAID));
        assert_eq!(s.active(), cast.program);
        // Memory that is no object is everywhere.
        assert_eq!(s.switch(beside), Ok(()));
        assert_eq!(probe::load(secret), Ok(SAID));
        assert_eq!(s.active(), cast.program);
    });
}

/// The kernel reads what it is told to for whoever makes the call.
fn a6b_a_system_call_is_the_code_that_makes_it() {
    let cast = Cast::new();
    let world = &cast.world;
    let s = &world.session;
    let beside = context(s, cast.owner.id, Rights::ALL, 0);
    // The program's context has this code too: at its first byte, or past the call.
    for (entry, goes_on) in [(DATA_START + 5, true), (DATA_START + 7, false)] {
        let code = cast.owner.secret(s, &READ);
        world.show(7, code, RWX_RIGHTS);
        s.invalidate(world.view, 7, 1).expect("INVALIDATE_VIEW");
        put(s, cast.program, 2, &cast.owner.grant(code, cast.program, Rights(5), gate(entry)));
        put(s, beside, 2, &cast.owner.grant(code, beside, Rights(5), Gate::NONE));
        assert_eq!(s.load(cast.program), Ok((3, 0)));
        assert_eq!(s.load(beside), Ok((1, 0)));
        inside(world, |world| {
            let s = &world.session;
            assert_eq!(s.attach(beside, SWITCH), Ok(()));
            assert_eq!(s.detach(DEFAULT), Ok(()));
            assert_eq!(s.attach(cast.program, 0), Ok(()));
            let zero = sys::open("/dev/zero", libc::O_RDONLY).expect("/dev/zero");
            let secret = world.at(SECRET, 0) as u64;
            let got = probe::call(world.at(7, 0), zero.as_raw_fd() as u64, secret);
            assert_eq!(got.map(|n| n as i64), Ok(if goes_on { 8 } else { -libc::EFAULT as i64 }));
            let active = if goes_on { cast.program } else { beside };
            assert_eq!(s.active(), active);
        });
        world.unmap(7);
    }
}

fn a6c_out_of_a_confined_context_only_a_gate_leads() {
    let cast = Cast::new();
    cast.confined(|world| {
        let s = &world.session;
        let secret = world.at(SECRET, 0);
        denied(world, probe::load(secret), secret, reason::CONFINED);
        denied(world, probe::store(secret, 1), secret, reason::CONFINED);
        let middle = world.slot(CODE, GATE + 8);
        denied(world, probe::exec(middle), middle, reason::CONFINED);
        denied(world, probe::load(middle), middle, reason::CONFINED);
        assert_eq!(s.active(), cast.library);
        assert_eq!(probe::store(world.at(SHARED, 0), 1), Ok(()), "what it has, it has");
        assert_eq!(probe::exec(world.slot(CODE, GATE)), Ok(()));
        assert_eq!(s.active(), cast.program);
    });
}

fn a6d_not_while_another_thread_has_the_memory() {
    let cast = Cast::new();
    inside(&cast.world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(cast.program, SWITCH), Ok(()));
        assert_eq!(s.attach(cast.library, 0), Ok(()));
        let secret = world.at(SECRET, 0);
        assert_eq!(probe::load(secret), Ok(SAID));
        assert_eq!(s.switch(cast.library), Ok(()));
        let told = process::Shared::new();
        let gate = world.slot(CODE, GATE);
        std::thread::scope(|scope| {
            scope.spawn(|| told.await_at_least(0, 1));
            denied(world, probe::exec(gate), gate, reason::THREADS);
            told.set(0, 1);
        });
        // It has ended; it may take a moment to be gone.
        let begun = std::time::Instant::now();
        while probe::exec(gate).is_err() {
            assert!(begun.elapsed().as_secs() < 10, "alone again");
        }
        assert_eq!(s.active(), cast.program);
    });
}

/// A page without the right to run it is not asked about by the processor.
fn a6_a_page_that_may_be_read_is_entered_after_asking() {
    let cast = Cast::new();
    let s = &cast.world.session;
    let reader = context(s, cast.owner.id, Rights::ALL, 0);
    put(s, reader, 0, &cast.owner.grant(cast.code, reader, Rights::READ, Gate::NONE));
    inside(&cast.world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(reader, SWITCH), Ok(()));
        assert_eq!(s.detach(DEFAULT), Ok(()));
        assert_eq!(s.attach(cast.program, 0), Ok(()));
        let at = world.slot(CODE, GATE);
        assert_eq!(probe::load(at), Ok(RET));
        assert!(probe::exec(at).expect_err("it may not be run").was_present());
        assert_eq!(s.fault(at, Rights::EXEC), Ok(()));
        assert_eq!(probe::exec(at), Ok(()));
        assert_eq!(s.active(), cast.program);
        assert_eq!(s.fault(at, Rights::WRITE), Err(Errno::EACCES));
    });
}

fn a7_what_the_new_context_does_not_allow_is_gone() {
    let cast = Cast::new();
    inside(&cast.world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(cast.program, SWITCH), Ok(()));
        assert_eq!(s.attach(cast.library, 0), Ok(()));
        let fd = s.open_fd(cast.secret, RW).expect("OPEN_FD");
        let memory = Map::shared(&fd, map::PAGE, map::RW).expect("mmap");
        let second = map::arena(&world.fd, world.slots, RWX).expect("the arena again");
        let again = second.at(world.at(SECRET, 0) - world.slot(0, 0));
        let places = [world.at(SECRET, 0), world.at(SECRET, PAGE), memory.at(0), again];
        for at in places {
            assert_eq!(probe::store(at, SAID), Ok(()));
        }
        assert_eq!(s.switch(cast.library), Ok(()));
        for at in places {
            denied(world, probe::load(at), at, reason::CONFINED);
        }
        assert_eq!(probe::exec(world.slot(CODE, GATE)), Ok(()));
        for at in places {
            assert_eq!(probe::load(at), Ok(SAID));
        }
    });
}

fn a7_large_pages_too() {
    let world = World::new();
    let s = &world.session;
    let owner = Owner::new(s, 1);
    let id = owner.object(s, 2 * map::HUGE as u64, RW);
    let none = context(s, owner.id, Rights::USE, CONFINED);
    world.show(2, id, RW);
    assert_eq!(s.reserve(id, 0, 2 * map::HUGE as u64), Ok(()));
    process::fork(|| {
        let world = World::of(Session::open(), world.view, world.slots, map::RW);
        let s = &world.session;
        let at = world.slot(2, map::HUGE as u64);
        let large = counter("huge");
        assert_eq!(probe::store(at, 1), Ok(()));
        assert_eq!(counter("huge") - large, 1);
        assert_eq!(s.attach(none, SWITCH), Ok(()));
        denied(&world, probe::load(at), at, reason::CONFINED);
        0
    })
    .succeed();
}

/// A page that is there without the right to run it would not be asked about.
fn a7_what_comes_to_be_run_is_not_in_the_way() {
    let cast = Cast::new();
    let s = &cast.world.session;
    let reader = context(s, cast.owner.id, Rights::ALL, 0);
    put(s, reader, 0, &cast.owner.grant(cast.code, reader, Rights::READ, Gate::NONE));
    inside(&cast.world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(reader, SWITCH), Ok(()));
        assert_eq!(s.attach(cast.program, 0), Ok(()));
        assert!(probe::load(world.slot(CODE, GATE)).is_ok());
        assert_eq!(s.switch(cast.program), Ok(()));
        assert_eq!(probe::exec(world.slot(CODE, GATE)), Ok(()));
    });
}

fn a8_who_is_traced_does_not_gain_at_a_fault() {
    let cast = Cast::new();
    inside(&cast.world, |world| {
        let s = &world.session;
        let at = world.at(SECRET, 0);
        assert_eq!(s.attach(cast.library, 0), Ok(()));
        assert_eq!(s.attach(cast.program, SWITCH), Ok(()));
        assert_eq!(s.switch(cast.library), Ok(()));
        // A signal would stop who is traced, with nobody to tell it to go on: the kernel
        // touches memory for the program, and says EFAULT.
        be_traced();
        let zero = sys::open("/dev/zero", libc::O_RDONLY).expect("/dev/zero");
        // The kernel writes to the arena, if it may.
        let arguments = [zero.as_raw_fd() as usize, at, 8, 0, 0, 0];
        let got = process::syscall(libc::SYS_read, arguments);
        assert_eq!(got, Err(Errno::EFAULT));
        assert_eq!(s.last_error().reason, reason::TRACED);
        assert_eq!(s.active(), cast.library);
    });
}

/// What a counter of the module is at.
fn counter(name: &str) -> u64 {
    let text = std::fs::read_to_string("/sys/kernel/debug/twz/faults").expect("debugfs");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|n| n.parse().ok()).expect("a counter")
}

/// Touches the stack as deep as anything here goes: a child of fork has to find its own
/// pages anew, and those faults are not meant.
#[inline(never)]
fn touch_stack() {
    std::hint::black_box([1u8; 256 << 10]);
}

/// Faults of this thread, and switches, during something.
fn counted(act: impl FnOnce()) -> (u64, u64) {
    let switches = counter("switches");
    touch_stack();
    let faults = probe::minor_faults();
    act();
    let faults = probe::minor_faults() - faults;
    (faults, counter("switches") - switches)
}

/// In a child: so many pages of what is shared are mapped, and the library is active.
fn with_shared_pages(pages: u64, act: impl FnOnce(&World, &Cast, &dyn Fn())) {
    let cast = Cast::new();
    let s = &cast.world.session;
    let shared = cast.world.object(5, pages * PAGE, OPEN);
    put(s, cast.library, 1, &Mask::new(shared, RWX_RIGHTS));
    inside(&cast.world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(cast.program, SWITCH), Ok(()));
        assert_eq!(s.attach(cast.library, SWITCH), Ok(()));
        let touch = || {
            for page in 0..pages {
                assert_eq!(probe::store(world.at(5, page * PAGE), page), Ok(()));
            }
        };
        map::populate_own();
        // Once for nothing.
        assert_eq!(probe::exec(world.slot(CODE, GATE)), Ok(()));
        assert_eq!(probe::load(world.at(SECRET, 0)), Ok(SAID));
        touch();
        assert_eq!(s.switch(cast.library), Ok(()));
        touch();
        act(world, &cast, &touch);
    });
}

fn a_switch_costs_two_faults_whatever_is_shared() {
    for pages in [1, 16, 300] {
        with_shared_pages(pages, |world, _, touch| {
            let gate = world.slot(CODE, GATE);
            let asked = counter("faults");
            let (faults, switches) = counted(|| assert_eq!(probe::exec(gate), Ok(())));
            assert_eq!(switches, 1, "of {pages} pages");
            // The kernel may ask for 2 MiB first.
            let asked = counter("faults") - asked;
            println!("{pages} pages: {faults} faults, {asked} times asked");
            assert!(faults <= 2 && asked <= 4, "{faults} faults with {pages} pages, {asked}");
            assert_eq!(counted(touch), (0, 0), "of {pages} pages");
        });
    }
}

fn what_both_allow_costs_nothing_after_a_switch() {
    with_shared_pages(64, |world, cast, touch| {
        let s = &world.session;
        let gate = world.slot(CODE, GATE);
        for _ in 0..3 {
            let (faults, switches) = counted(|| {
                assert_eq!(probe::exec(gate), Ok(()));
                assert_eq!(probe::load(world.at(SECRET, 0)), Ok(SAID));
                touch();
            });
            assert_eq!(switches, 1);
            // The code's page and the secret's, which the library does not have.
            assert_eq!(faults, 2);
            assert_eq!(counted(|| assert_eq!(s.switch(cast.library), Ok(()))), (0, 1));
            assert_eq!(counted(touch), (0, 0));
        }
    });
}

/// The technical report's Figure 3: the program calls a library that has a context of
/// its own, by its own code and through its own gate. The library is code in an object.
fn a_library_sees_what_it_is_given_and_nothing_else() {
    let cast = Cast::new();
    let world = &cast.world;
    let s = &world.session;
    let library = world.object(6, PAGE, OPEN);
    assert_eq!(s.write(library, PAGE, &LOAD), Ok(4));
    // The program does not run it itself.
    put(s, cast.program, 2, &Mask::new(library, Rights::READ));
    inside(world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(cast.program, SWITCH), Ok(()));
        assert_eq!(s.detach(DEFAULT), Ok(()));
        assert_eq!(s.attach(cast.library, 0), Ok(()));
        let [secret, shared] = [world.at(SECRET, 0), world.at(SHARED, 0)];
        assert_eq!(probe::store(shared, 0x1234), Ok(()));
        assert_eq!(probe::load(secret), Ok(SAID));
        let entry = world.slot(CODE, DATA_START);
        let call = |at: usize| probe::call(entry, world.at(6, 0) as u64, at as u64);
        for _ in 0..3 {
            assert_eq!(call(shared), Ok(0x1234), "what it was given");
            assert_eq!(s.active(), cast.program);
            assert_eq!(probe::load(secret), Ok(SAID));
            denied(world, call(secret), secret, reason::CONFINED);
            assert_eq!(s.active(), cast.library, "where it ended");
            assert_eq!(probe::exec(world.slot(CODE, GATE)), Ok(()));
            assert_eq!(s.active(), cast.program);
        }
        // It is not called, and not left, anywhere else.
        let past = world.slot(CODE, GATE + 1);
        assert_eq!(s.switch(cast.library), Ok(()));
        denied(world, probe::exec(past), past, reason::CONFINED);
    });
}

/// What a process that knows everything but is in no context reads from a descriptor
/// that it is sent.
fn reads_what_it_is_sent(receiver: &std::os::fd::OwnedFd) -> i32 {
    let fd = process::receive_fd(receiver).expect("a descriptor");
    let mut bytes = [0; 8];
    (crate::file::File(fd).pread(&mut bytes, 0) != Err(Errno::EACCES)) as i32
}

fn a_library_that_tries_everything_has_nothing() {
    let cast = Cast::new();
    let (near, far) = process::socket_pair();
    let receiver = process::fork(|| reads_what_it_is_sent(&far));
    let done = process::Shared::new();
    inside(&cast.world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(cast.program, SWITCH), Ok(()));
        let fd = s.open_fd(cast.secret, RW).expect("OPEN_FD");
        assert_eq!(probe::load(world.at(SECRET, 0)), Ok(SAID));
        assert_eq!(s.attach(cast.library, SWITCH), Ok(()));
        by_memory(world);
        by_commands(world, &cast);
        by_descriptors(world, &fd);
        process::send_fd(&near, fd.as_raw_fd()).expect("send");
        by_processes(world, &cast);
        assert_eq!(s.active(), cast.library, "for all that");
        done.set(0, 1);
    });
    receiver.succeed();
    assert_eq!(done.get(0), 1);
}

/// Through addresses, and what system calls do to them.
fn by_memory(world: &World) {
    let (secret, code) = (world.at(SECRET, 0), world.slot(CODE, GATE + 16));
    for at in [secret, secret + map::PAGE, world.slot(SECRET, SLOT - PAGE)] {
        assert!(probe::load(at).is_err() && probe::store(at, 1).is_err());
    }
    for at in [code, code + 1, world.slot(CODE, GATE - 2), world.slot(CODE, DATA_START)] {
        denied(world, probe::exec(at), at, reason::CONFINED);
    }
    assert_eq!(map::mprotect(secret, map::PAGE, RWX), Err(Errno::EACCES));
    let to = Map::anonymous(map::PAGE, map::RW).expect("mmap");
    let flags = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as usize;
    let moved = [secret, map::PAGE, map::PAGE, flags, to.at(0), 0];
    // Both places are of the test's own mappings.
    assert!(process::syscall(libc::SYS_mremap, moved).is_err());
    let again = map::arena(&world.fd, world.slots, RWX).expect("its own view");
    let at = again.at(secret - world.slot(0, 0));
    denied(world, probe::load(at), at, reason::CONFINED);
    // The kernel reads or writes for it: its own memory is at both ends.
    let room = Map::anonymous(map::PAGE, map::RW).expect("mmap");
    let own = libc::iovec { iov_base: room.at(0) as *mut libc::c_void, iov_len: 8 };
    let its = libc::iovec { iov_base: secret as *mut libc::c_void, iov_len: 8 };
    let me = std::process::id() as usize;
    for call in [libc::SYS_process_vm_readv, libc::SYS_process_vm_writev] {
        let arguments = [me, &raw const own as usize, 1, &raw const its as usize, 1, 0];
        assert_eq!(process::syscall(call, arguments), Err(Errno::EFAULT));
    }
    let file = sys::open("/proc/self/mem", libc::O_RDWR).map(crate::file::File);
    if let Ok(file) = file {
        assert!(file.pread(&mut [0; 8], secret as u64).is_err());
        assert!(file.pwrite(&[0; 8], secret as u64).is_err());
    }
    let (_, writer) = process::pipe();
    for call in [libc::SYS_write, libc::SYS_vmsplice] {
        let what = if call == libc::SYS_write { secret } else { &raw const its as usize };
        let n = if call == libc::SYS_write { 8 } else { 1 };
        // Read from, if at all.
        let got = process::syscall(call, [writer.as_raw_fd() as usize, what, n, 0, 0, 0]);
        assert!(got.is_err(), "{got:?}");
    }
}

/// Through commands.
fn by_commands(world: &World, cast: &Cast) {
    let s = &world.session;
    let no: Result<u64> = Err(Errno::EACCES);
    assert_eq!(s.read(cast.secret, PAGE, &mut [0; 8]), no);
    assert_eq!(s.write(cast.secret, PAGE, &[0; 8]), no);
    assert_eq!(s.copy(cast.secret), Err(Errno::EACCES));
    assert_eq!(s.copy(cast.code), Err(Errno::EACCES));
    assert_eq!(s.open_fd(cast.secret, Rights::READ).err(), Some(Errno::EACCES));
    assert_eq!(s.resolve(cast.secret, RWX_RIGHTS).map(|told| told.granted), Ok(0));
    assert_eq!(s.delete(cast.secret), no.map(|_| ()));
    // Neither contexts nor the view are its to change.
    assert_eq!(s.write(cast.library, PAGE + 32, &[0; 8]), no);
    assert_eq!(s.write(world.view, 4096, &[0; 8]), no);
    assert!(probe::store(world.slot(1, PAGE + 32 * u64::from(CODE)), 0).is_err());
    for got in [s.switch(DEFAULT), s.switch(cast.program), s.detach(cast.program)] {
        assert_eq!(got, Err(Errno::EPERM));
    }
    // A session of its own is the same program's.
    let other = Session::open();
    assert_eq!((other.active(), other.switch(DEFAULT)), (cast.library, Err(Errno::EPERM)));
    assert_eq!(s.fault(world.at(SECRET, 0), Rights::EXEC), no.map(|_| ()));
}

/// Through a descriptor that the program had opened.
fn by_descriptors(world: &World, fd: &std::os::fd::OwnedFd) {
    let file = crate::file::File(fd.try_clone().expect("a descriptor"));
    assert_eq!(file.pread(&mut [0; 8], 0), Err(Errno::EACCES));
    assert_eq!(file.pwrite(&[0; 8], 0), Err(Errno::EACCES));
    assert_eq!(file.truncate(0), Err(Errno::EACCES));
    let memory = Map::shared(fd, map::PAGE, map::RW).expect("mmap");
    denied(world, probe::load(memory.at(0)), memory.at(0), reason::CONFINED);
    let (_reader, writer) = process::pipe();
    // No buffers: from the descriptor into the pipe.
    let arguments = [fd.as_raw_fd() as usize, 0, writer.as_raw_fd() as usize, 0, 8, 0];
    assert_eq!(process::syscall(libc::SYS_splice, arguments), Err(Errno::EACCES));
}

/// Through other threads and processes.
fn by_processes(world: &World, cast: &Cast) {
    let gate = world.slot(CODE, GATE);
    let told = process::Shared::new();
    std::thread::scope(|scope| {
        scope.spawn(|| told.await_at_least(0, 1));
        denied(world, probe::exec(gate), gate, reason::THREADS);
        told.set(0, 1);
    });
    let parent = std::process::id() as libc::pid_t;
    inside(world, |world| {
        let told = world.session.contexts();
        assert_eq!((told.active, told.count), (cast.library, 1));
        let secret = world.at(SECRET, 0);
        denied(world, probe::load(secret), secret, reason::CONTEXT_DENIES);
        let gate = world.slot(CODE, GATE);
        denied(world, probe::exec(gate), gate, reason::CONTEXT_DENIES);
        // Root may trace: what it peeks at is not to be had that way either.
        // SAFETY: plain values; the answer is the word at that address, or -1.
        let peeked = unsafe {
            libc::ptrace(libc::PTRACE_SEIZE, parent, 0, 0);
            libc::ptrace(libc::PTRACE_PEEKDATA, parent, secret, 0)
        };
        assert_ne!(peeked as u64, SAID);
    });
    let library = cast.library.to_string();
    let child = process::fork(|| process::exec_self(&["child-contexts", &library, &library]).0);
    child.succeed();
}

/// A gate of many places: each is one, and nothing between them is; code that could
/// be a deputy, for having what the caller has not, is not reached past its first
/// instruction, nor by what it would do for somebody else.
fn a_deputy_is_entered_where_it_says_or_not_at_all() {
    let cast = Cast::new();
    let s = &cast.world.session;
    // It loads from where its argument says: with its own rights, if it is called right.
    let mut data = vec![0xc3; PAGE as usize];
    data[64..68].copy_from_slice(&LOAD);
    let deputy = cast.owner.secret(s, &data);
    let gates = Gate { offset: DATA_START, length: 64, align: 16 };
    cast.world.show(6, deputy, RWX_RIGHTS);
    put(s, cast.program, 2, &cast.owner.grant(deputy, cast.program, Rights(5), gates));
    cast.confined(|world| {
        let s = &world.session;
        let secret = world.at(SECRET, 0);
        for at in 0..128 {
            let place = world.at(6, at);
            let got = probe::call(place, secret as u64, 0);
            if at < 64 && at % 16 == 0 {
                assert!(got.is_ok(), "{at}");
                assert_eq!(s.active(), cast.program, "{at}");
                assert_eq!(s.switch(cast.library), Ok(()));
            } else {
                denied(world, got, place, reason::CONFINED);
            }
        }
        // Its code may be run from there on by whoever is in.
        assert_eq!(probe::call(world.at(6, 0), 0, 0).map(|_| ()), Ok(()));
        assert_eq!(probe::call(world.at(6, 64), secret as u64, 0), Ok(SAID));
    });
}
