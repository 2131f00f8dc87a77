// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was decided about rights, as it is read from `/dev/twz` (INTERFACE.md, "What was
//! decided"): who, what and why, how much of it was lost, and who may know.

use twz_abi::{
    PAGE, Rights,
    decision::{Decision, what},
    ioctl as abi, reason,
    security::Gate,
};
use zerocopy::IntoBytes as _;

use crate::{
    errno::{Errno, Result},
    file::File,
    ktap::Test,
    probe, process,
    security::{Owner, context, put},
    suites::attach::inside,
    sys, tests,
    world::{OPEN, World},
};

/// The suite.
pub const TESTS: &[Test] = tests![
    a_fault_that_is_refused_is_told,
    a_command_that_is_refused_is_told_if_it_is_about_rights,
    what_is_loaded_attached_and_revoked_is_told,
    a_grant_that_ends_is_told,
    what_was_lost_is_counted,
    who_may_not_read_every_file_is_told_nothing,
];

/// Decisions that are kept.
const KEPT: u64 = 1024;
const SIZE: usize = size_of::<Decision>();

/// An open of the device to be told by.
struct Told(File);

impl Told {
    /// One that has been told everything so far.
    fn new() -> Self {
        let told = Self(File(sys::open_device().expect("/dev/twz")));
        while !told.next().expect("read").is_empty() {}
        told
    }

    /// Some more.
    fn next(&self) -> Result<Vec<Decision>> {
        let mut some = [Decision::default(); 100];
        let bytes = self.0.read(some.as_mut_bytes())?;
        assert_eq!(bytes % SIZE, 0, "a part of one");
        Ok(some[..bytes / SIZE].to_vec())
    }

    /// Everything since.
    fn all(&self) -> Vec<Decision> {
        let mut all = Vec::new();
        loop {
            match self.next().expect("read") {
                some if some.is_empty() => return all,
                some => all.extend(some),
            }
        }
    }

    /// Everything of this process since.
    fn own(&self) -> Vec<Decision> {
        let own = |decision: &Decision| decision.process == std::process::id();
        self.all().into_iter().filter(own).collect()
    }
}

fn a_fault_that_is_refused_is_told() {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let id = owner.object(&world.session, PAGE, Rights::READ);
    world.show(2, id, OPEN);
    let told = Told::new();
    let at = world.at(2, 0);
    assert_eq!(probe::load(at), Ok(0));
    assert_eq!(told.own(), [], "what is allowed is nothing to tell");
    assert!(probe::store(at, 1).is_err());
    let own = told.own();
    let [refused] = own[..] else { panic!("{own:?}") };
    assert_eq!((refused.what, refused.object), (what::FAULT_REFUSED, id));
    assert_eq!((refused.value, refused.reason), (at as u64, reason::CONTEXT_DENIES));
    assert_eq!((refused.wanted, refused.user), (Rights::WRITE.0, 0));
    assert_eq!(refused.granted & Rights::WRITE.0, 0);
    assert!(refused.context.is_null() && refused.time > refused.since);
    assert_eq!(told.own(), [], "once");
    // Nothing is there: that is no matter of rights.
    assert!(probe::load(world.at(3, 0)).is_err());
    assert_eq!(told.own(), []);
}

fn a_command_that_is_refused_is_told_if_it_is_about_rights() {
    let world = World::new();
    let s = &world.session;
    let owner = Owner::new(s, 1);
    let id = owner.object(s, PAGE, Rights::NONE);
    let told = Told::new();
    assert_eq!(s.read(id, PAGE, &mut [0; 8]), Err(Errno::EACCES));
    assert_eq!(s.read(id, 0, &mut [0; 8]), Err(Errno::EINVAL));
    let own = told.own();
    let [refused] = own[..] else { panic!("{own:?}") };
    assert_eq!((refused.what, refused.object), (what::COMMAND_REFUSED, id));
    assert_eq!((refused.value, refused.wanted), (abi::READ.into(), Rights::READ.0));
}

fn what_is_loaded_attached_and_revoked_is_told() {
    let world = World::new();
    let s = &world.session;
    let owner = Owner::new(s, 1);
    let id = owner.object(s, PAGE, Rights::NONE);
    let context = context(s, owner.id, Rights::ALL, 0);
    put(s, context, 0, &owner.grant(id, context, Rights::READ, Gate::NONE));
    let told = Told::new();
    inside(&world, |world| {
        let s = &world.session;
        assert_eq!(s.attach(context, abi::attach_flags::SWITCH), Ok(()));
        assert_eq!(s.load(context), Ok((1, 0)));
        assert_eq!(s.revoke(&owner, id, 3), Ok(()));
        assert_eq!(s.revoke(&owner, id, 3), Err(Errno::EINVAL));
    });
    let said: Vec<_> = told.all().iter().map(|one| (one.what, one.object, one.value)).collect();
    let expected = [
        (what::LOADED, context, 1),
        (what::ATTACHED, context, 0),
        (what::LOADED, context, 1),
        (what::REVOKED, id, 3),
        (what::COMMAND_REFUSED, id, abi::REVOKE.into()),
    ];
    assert_eq!(said, expected);
}

fn a_grant_that_ends_is_told() {
    const SECOND: u64 = 1_000_000_000;
    let world = World::new();
    let s = &world.session;
    let owner = Owner::new(s, 1);
    let id = owner.object(s, PAGE, Rights::NONE);
    let context = context(s, owner.id, Rights::ALL, 0);
    let expires = twz_now() + 2 * SECOND;
    let grant = owner.grant(id, context, Rights::READ, Gate::NONE);
    put(s, context, 0, &owner.sign(twz_abi::security::Grant { expires, ..grant }));
    inside(&world, |world| {
        assert_eq!(world.session.attach(context, 0), Ok(()));
        let begun = std::time::Instant::now();
        loop {
            let timed = |one: &Decision| one.what == what::TIMED && one.object == context;
            // A child has a session of its own; its parent's is not.
            let all = Told(File(sys::open_device().expect("/dev/twz"))).all();
            if let Some(ended) = all.iter().find(|one| timed(one)) {
                assert_eq!((ended.value, ended.process), (1 << 32, 0), "one that is void");
                assert!(ended.time >= expires);
                return;
            }
            assert!(begun.elapsed().as_secs() < 60, "nobody told that it ended");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    });
}

fn twz_now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos() as u64
}

fn what_was_lost_is_counted() {
    let world = World::new();
    let s = &world.session;
    let owner = Owner::new(s, 1);
    let id = owner.object(s, PAGE, Rights::NONE);
    let told = Told::new();
    let refused = || assert_eq!(s.read(id, PAGE, &mut [0; 8]), Err(Errno::EACCES));
    refused();
    let [first] = told.all()[..] else { panic!("more than one") };
    for _ in 0..KEPT + 5 {
        refused();
    }
    let rest = told.all();
    assert_eq!(rest.len() as u64, KEPT);
    assert_eq!(rest[0].sequence, first.sequence + 1 + 5, "five are missing");
    assert!(rest.iter().zip(rest[0].sequence..).all(|(one, n)| one.sequence == n));
    assert!(rest.iter().all(|one| one.since == first.since && one.object == id));
}

fn who_may_not_read_every_file_is_told_nothing() {
    let world = World::new();
    let told = Told::new();
    assert_eq!(told.0.read(&mut [0; SIZE - 1]), Err(Errno::EINVAL));
    let view = File(world.session.set_view(world.view).expect("SET_VIEW"));
    assert_eq!(view.read(&mut [0; SIZE]), Err(Errno::EINVAL));
    process::fork(|| {
        // Its parent's is no session of its own.
        assert_eq!(told.next(), Err(Errno::EPERM));
        let own = Told(File(sys::open_device().expect("/dev/twz")));
        assert!(own.next().is_ok());
        // SAFETY: a child gives up what root may do, for good.
        assert_eq!(unsafe { libc::setresuid(1000, 1000, 1000) }, 0);
        assert_eq!(own.next(), Err(Errno::EPERM));
        0
    })
    .succeed();
}
