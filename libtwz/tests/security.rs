// SPDX-License-Identifier: MIT OR Apache-2.0
//! Acting in contexts: what a process that is attached may do, and what it loses.
//! The numbers are SECURITY.md's rules.

mod common;
#[path = "common/world.rs"]
mod world;

use twz::{
    Error, Field, Object, Ptr, Rights,
    security::{
        Context, DEFAULT, How, KeyPair, NewContext, Policy, Terms, context_flags, now, why,
    },
};
use twz_abi::reason;
use world::{NONE, R, RW, W, World, granted, leave, reason};

/// What becomes of a forked child that does something: its signal, else 0, or 99 if it
/// panicked.
fn child(act: impl FnOnce()) -> i32 {
    // SAFETY: the child does what `act` does, which takes no lock of the test
    // harness, and ends.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // Nobody wants its words, nor a core.
        // SAFETY: closes a descriptor that the child alone goes without.
        unsafe { libc::close(2) };
        // A panic would end the thread alone, and that as a success.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        // SAFETY: no preconditions.
        unsafe { libc::_exit(if done.is_ok() { 0 } else { 99 }) };
    }
    let mut status = 0;
    // SAFETY: `status` is ours to be written.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) }
}

#[derive(twz::Persist)]
#[repr(C)]
struct Node {
    value: Field<u64>,
    next: Ptr<Node>,
}

fn node(world: &World, rights: Rights) -> Object<Node> {
    let new =
        twz::NewObject { owner: world.owner, default_rights: rights, ..twz::NewObject::default() };
    world.space.create_with(&new, Node { value: Field::new(7), next: Ptr::null() }).unwrap()
}

/// In a child: attached to nothing but the active context, so that no fault goes on
/// in another one (rule A6).
fn alone(space: &twz::Space) {
    let attached = space.attached().unwrap();
    for id in attached.all.into_iter().filter(|id| *id != attached.active) {
        space.detach(id).unwrap();
    }
}

/// Stores without asking, past everything that would make it an error.
fn poke(object: &Object<Node>) {
    alone(object.space());
    // SAFETY: the root's first word, an atomic, in an object that is open.
    unsafe { ((object.address() + 4096) as *mut u64).write_volatile(9) };
}

/// Loads without asking.
fn peek(object: &Object<Node>) {
    alone(object.space());
    assert_ne!(object.root().value.get(), u64::MAX);
}

#[test]
fn e_grants_add_to_what_masks_leave_of_the_defaults() {
    let world = World::new();
    let (secret, open) = (world.object(NONE), world.object(RW));
    let context = world.context(Policy { mask: R, flags: 0 });
    context.grant(&Terms::new(secret, RW), &world.key).unwrap();
    let none = world.context(Policy { mask: NONE, flags: 0 });
    none.grant(&Terms::new(open, R), &world.key).unwrap();
    none.set_mask(secret, RW).unwrap();
    world.space.attach(none.id()).unwrap();
    assert_eq!((world.may(secret), world.may(open)), ((false, false), (true, true)));
    world.act_in(context.id());
    // E1: the mask limits the defaults and not what was granted.
    assert_eq!((world.may(secret), world.may(open)), ((true, true), (true, false)));
    for (object, allowed) in [(secret, RW), (open, R)] {
        assert_eq!(why(world.backend(), context.id(), object).unwrap().allowed, allowed);
    }
    // E2: two contexts are never combined.
    world.act_in(none.id());
    assert_eq!((world.may(secret), world.may(open)), ((false, false), (true, false)));
}

#[test]
fn what_is_refused_says_object_right_and_reason() {
    let world = World::new();
    let object = world.object(R);
    let context = world.context(Policy { mask: NONE, flags: 0 });
    world.act_in(context.id());
    let Err(Error::Denied { id, wanted, refusal: Some(why) }) =
        world.backend().read(object, 4096, &mut [0; 8])
    else {
        panic!("it was not denied");
    };
    assert_eq!((id, wanted, why.granted), (object, R, NONE));
    assert_eq!(why.reason, reason::text(reason::CONTEXT_DENIES));
    assert!(matches!(
        world.space.open_object_read::<()>(object).map(|_| ()),
        Err(Error::Denied { id, wanted: R, .. }) if id == object
    ));
}

#[test]
fn a1_attaching_takes_the_right_to_use_or_a_proof() {
    let world = World::new();
    let new = NewContext { owner: world.owner, rights: R, ..NewContext::default() };
    let context = Context::create(world.backend(), &new).unwrap();
    assert_eq!(reason(world.space.attach(context.id())), reason::NO_USE);
    let stranger = KeyPair::generate().unwrap();
    let with = |key| world.space.attach_with_key(context.id(), key, How::default());
    assert_eq!(reason(with(&stranger)), reason::NO_USE);
    // A nonce is good once, and for the one who got it.
    let pool = world.backend().info().unwrap().pool_id;
    let nonce = world.backend().contexts().unwrap().nonce;
    let claim = twz::security::AttachClaim { pool, context: context.id(), nonce };
    let proof = world.key.sign(&claim.message());
    world.backend().attach_context(context.id(), 0, Some(&proof)).unwrap();
    world.space.detach(context.id()).unwrap();
    let again = world.backend().attach_context(context.id(), 0, Some(&proof));
    assert_eq!(reason(again), reason::NO_USE);
    with(&world.key).unwrap();
    assert!(world.space.attached().unwrap().all.contains(&context.id()));
}

#[test]
fn a3_a4_switching_and_detaching() {
    let world = World::new();
    let (one, two) = (world.open_context(), world.open_context());
    assert_eq!(reason(world.space.switch(one.id())), reason::NOT_ATTACHED);
    assert_eq!(reason(world.space.detach(one.id())), reason::NOT_ATTACHED);
    world.space.attach(one.id()).unwrap();
    world.space.attach_as(two.id(), How { switch: true, cloexec: false }).unwrap();
    let attached = world.space.attached().unwrap();
    assert_eq!((attached.active, attached.all), (two.id(), vec![DEFAULT, one.id(), two.id()]));
    assert_eq!(reason(world.space.detach(two.id())), reason::UNDETACHABLE);
    assert!(matches!(world.space.attach(one.id()), Err(Error::Attached(id)) if id == one.id()));
    world.space.switch(one.id()).unwrap();
    world.space.detach(two.id()).unwrap();
    assert_eq!(reason(world.space.switch(two.id())), reason::NOT_ATTACHED);
}

#[test]
fn no_more_than_16_contexts() {
    let world = World::new();
    for _ in 1..twz::security::MAX_ATTACHED {
        world.space.attach(world.open_context().id()).unwrap();
    }
    let more = world.open_context();
    assert_eq!(reason(world.space.attach(more.id())), reason::TOO_MANY);
}

#[test]
fn a2_a4_a5_what_cannot_be_undone_is_done_by_a_child() {
    let world = World::new();
    let undetachable = world.context(Policy { flags: context_flags::UNDETACHABLE, ..Policy::OPEN });
    let confined = world.context(Policy { mask: R, flags: context_flags::CONFINED });
    let ended = child(|| {
        let space = &world.space;
        space.attach(undetachable.id()).unwrap();
        assert_eq!(reason(space.detach(undetachable.id())), reason::UNDETACHABLE);
        space.attach_as(confined.id(), How { switch: true, cloexec: false }).unwrap();
        // A5.
        let other = undetachable.id();
        assert_eq!(reason(space.switch(DEFAULT)), reason::CONFINED);
        assert_eq!(reason(space.detach(other)), reason::CONFINED);
        assert_eq!(reason(space.attach(other)), reason::CONFINED);
    });
    assert_eq!(ended, 0);
    let ended = child(|| {
        let space = &world.space;
        space.attach_as(undetachable.id(), How { switch: true, cloexec: false }).unwrap();
        space.detach(DEFAULT).unwrap();
        // A2: it does not come back.
        assert_eq!(reason(space.attach(DEFAULT)), reason::NO_USE);
        assert_eq!(reason(space.switch(DEFAULT)), reason::NOT_ATTACHED);
    });
    assert_eq!(ended, 0);
    // A child's attachments are its own.
    assert_eq!(world.space.attached().unwrap().all, [DEFAULT]);
}

#[test]
fn a7_a_switch_takes_away_what_is_mapped() {
    let world = World::new();
    let object = node(&world, Rights(RW.0 | Rights::DELETE.0));
    let (reads, blind) = (
        world.context(Policy { mask: R, flags: 0 }),
        world.context(Policy { mask: NONE, flags: 0 }),
    );
    let value = &object.root().value;
    value.set(1).unwrap();
    world.space.attach(blind.id()).unwrap();
    world.act_in(reads.id());
    assert_eq!(value.get(), 1);
    assert_eq!(child(|| poke(&object)), libc::SIGSEGV);
    assert!(!granted(object.write(0, &[0; 8])));
    world.act_in(blind.id());
    assert_eq!(child(|| peek(&object)), libc::SIGSEGV);
    // An access that becomes allowed works, by the same reference.
    world.act_in(reads.id());
    assert_eq!(value.get(), 1);
    world.space.switch(DEFAULT).unwrap();
    value.set(3).unwrap();
    assert_eq!(value.get(), 3);
}

#[test]
fn a7_pointers_are_refused_as_errors() {
    let world = World::new();
    let (from, to) = (node(&world, RW), node(&world, RW));
    from.root().next.store(to.root()).unwrap();
    let context = world.open_context();
    context.set_mask(to.id(), NONE).unwrap();
    world.act_in(context.id());
    assert_eq!(from.root().value.get(), 7);
    assert!(matches!(
        from.root().next.lea().map(|_| ()),
        Err(Error::Denied { id, wanted: R, refusal: Some(_) }) if id == to.id()
    ));
    leave(&world.space);
    assert_eq!(from.root().next.lea().unwrap().value.get(), 7);
}

#[test]
fn late_bound_what_may_be_read_can_be_opened_to_write() {
    let world = World::new();
    let id = node(&world, RW).id();
    let context = world.context(Policy { mask: R, flags: 0 });
    world.act_in(context.id());
    let object = world.space.open_object::<Node>(id).unwrap();
    assert_eq!(object.root().value.get(), 7);
    assert!(!granted(object.write(0, &9u64.to_le_bytes())));
    assert_eq!(child(|| poke(&object)), libc::SIGSEGV);
    // What becomes allowed later works, and nothing is opened again.
    world.space.switch(DEFAULT).unwrap();
    context.grant(&Terms::new(id, W), &world.key).unwrap();
    world.space.switch(context.id()).unwrap();
    assert_eq!(world.space.load(context.id()).unwrap(), (1, 0));
    object.root().value.set(8).unwrap();
    object.write(0, &9u64.to_le_bytes()).unwrap();
    assert_eq!(object.root().value.get(), 9);
}

#[test]
fn r4_loading_takes_away_what_was_taken_out() {
    let world = World::new();
    let object = node(&world, NONE.or(Rights::DELETE).or(RW));
    let context = world.context(Policy { mask: NONE, flags: 0 });
    let grant = context.grant(&Terms::new(object.id(), RW), &world.key).unwrap();
    world.act_in(context.id());
    object.root().value.set(1).unwrap();
    assert!(context.remove(&twz::security::digest(&grant)).is_err(), "it may not be written here");
    leave(&world.space);
    world.space.attach(context.id()).unwrap();
    assert!(context.remove(&twz::security::digest(&grant)).unwrap());
    world.space.switch(context.id()).unwrap();
    // As it was loaded, until it is loaded again.
    object.root().value.set(2).unwrap();
    world.space.load(context.id()).unwrap();
    assert_eq!(child(|| peek(&object)), libc::SIGSEGV);
}

#[test]
fn r1_r2_r3_revoking_voids_what_was_granted() {
    let world = World::new();
    let (id, other) = (world.object(NONE), world.object(NONE));
    let context = world.open_context();
    for object in [id, other] {
        context.grant(&Terms::new(object, RW), &world.key).unwrap();
    }
    world.act_in(context.id());
    let object = world.space.open_object::<()>(id).unwrap();
    let revoke = |epoch, key: &KeyPair| world.space.revoke(id, epoch, key);
    assert_eq!(reason(revoke(1, &KeyPair::generate().unwrap())), reason::BAD_STATEMENT);
    assert_eq!(reason(revoke(0, &world.key)), reason::BAD_STATEMENT);
    assert_eq!(world.may(id), (true, true));
    revoke(3, &world.key).unwrap();
    assert_eq!((world.may(id), world.may(other)), ((false, false), (true, true)));
    assert!(object.write(0, &[0; 8]).is_err());
    assert_eq!(reason(revoke(2, &world.key)), reason::BAD_STATEMENT);
    assert_eq!(world.backend().stat(id).unwrap().epoch, 3);
    // A grant of today's epoch holds.
    context.grant(&Terms::new(id, R), &world.key).unwrap();
    assert_eq!(world.space.load(context.id()).unwrap(), (2, 1));
    assert_eq!(world.may(id), (true, false));
    // Nobody speaks for what nobody owns.
    let nobodys = world.backend().create(&twz::NewObject::default()).unwrap();
    assert_eq!(reason(world.space.revoke(nobodys, 1, &world.key)), reason::BAD_STATEMENT);
}

#[test]
fn r6_a_grant_ends_by_the_clock() {
    let world = World::new();
    let (ends, begins) = (world.object(NONE), world.object(NONE));
    let context = world.open_context();
    let soon = now() + 300_000_000;
    context.grant(&Terms::new(ends, R).between(0, soon), &world.key).unwrap();
    context.grant(&Terms::new(begins, R).between(soon, 0), &world.key).unwrap();
    world.act_in(context.id());
    loop {
        let (before, seen) = (now(), (world.may(ends).0, world.may(begins).0));
        match seen {
            (true, false) => assert!(before < soon + 2_000_000_000, "it never ended"),
            (false, true) => break assert!(now() >= soon),
            // Between the two looks.
            _ => {}
        }
    }
}

#[test]
fn another_process_that_loads_or_revokes_is_noticed() {
    let world = World::new();
    let (one, two) = (world.object(NONE), world.object(NONE));
    let context = world.open_context();
    let grants = [one, two].map(|id| context.grant(&Terms::new(id, R), &world.key).unwrap());
    world.act_in(context.id());
    assert_eq!((world.may(one).0, world.may(two).0), (true, true));
    let done = child(|| {
        world.space.switch(DEFAULT).unwrap();
        assert!(context.remove(&twz::security::digest(&grants[0])).unwrap());
        world.space.load(context.id()).unwrap();
    });
    assert_eq!(done, 0);
    assert_eq!((world.may(one).0, world.may(two).0), (false, true));
    assert_eq!(child(|| world.space.revoke(two, 1, &world.key).unwrap()), 0);
    assert_eq!((world.may(one).0, world.may(two).0), (false, false));
}

#[test]
fn a9_attachments_go_through_fork_and_exec() {
    if let Some((pool, id)) = common::child("a9_attachments_go_through_fork_and_exec") {
        let space = twz::Space::open(pool).unwrap();
        let attached = space.attached().unwrap();
        let read = space.backend().read(id, 4096, &mut [0; 8]);
        // Bits that the parent sees: what is attached, and what that allows.
        std::process::exit(attached.all.len() as i32 * 2 + granted(read) as i32);
    }
    let world = World::new();
    let object = world.object(NONE);
    let (kept, gone) = (world.open_context(), world.open_context());
    kept.grant(&Terms::new(object, R), &world.key).unwrap();
    world.space.attach_as(gone.id(), How { switch: false, cloexec: true }).unwrap();
    let run = || {
        let name = "a9_attachments_go_through_fork_and_exec";
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
        command.env("TWZ_TEST_CHILD", name).env("TWZ_TEST_POOL", world.pool.path());
        command.env("TWZ_TEST_OBJECT", object.to_string()).envs(world.space.environment());
        command.output().unwrap().status.code().unwrap()
    };
    assert_eq!(run(), 2);
    world.act_in(kept.id());
    assert_eq!(world.space.attached().unwrap().all.len(), 3);
    assert_eq!(run(), 5);
    // Whose active context stays behind goes on in the first that comes along.
    world.space.switch(gone.id()).unwrap();
    assert_eq!(run(), 4);
    world.space.switch(kept.id()).unwrap();
    assert_eq!(child(|| assert!(world.may(object).0)), 0);
}

static SPACE: std::sync::OnceLock<twz::Space> = std::sync::OnceLock::new();

/// A program's own handler: ends with what it is told.
extern "C" fn handler(_: i32) {
    let said = SPACE.get().and_then(|space| space.refusal());
    let code = said.map_or(1, |(id, why)| {
        let lacks = why.granted == R && why.reason == reason::text(reason::CONTEXT_DENIES);
        if id.is_valid() && lacks { 42 } else { 2 }
    });
    // SAFETY: no preconditions, in a handler either.
    unsafe { libc::_exit(code) };
}

#[test]
fn a_program_can_handle_what_is_refused() {
    let name = "a_program_can_handle_what_is_refused";
    if let Some((pool, id)) = common::child(name) {
        // SAFETY: a function of the type that signal(2) asks for.
        unsafe { libc::signal(libc::SIGSEGV, handler as *const () as usize) };
        let space = SPACE.get_or_init(|| twz::Space::open(pool).unwrap());
        let context = Context::create(
            space.backend(),
            &NewContext { policy: Policy { mask: R, flags: 0 }, ..NewContext::default() },
        );
        let context = context.unwrap().id();
        space.attach_as(context, How { switch: true, cloexec: false }).unwrap();
        poke(&space.open_object::<Node>(id).unwrap());
        std::process::exit(3);
    }
    let world = World::new();
    let object = node(&world, RW);
    let mut child = common::start(name, &world.pool.path(), object.id());
    assert_eq!(child.wait().unwrap().code(), Some(42));
}

#[test]
fn all_spaces_of_a_process_act_in_the_same_context() {
    let world = World::new();
    let other = world.pool.open();
    let object = node(&world, RW);
    let there = other.open_object::<Node>(object.id()).unwrap();
    there.root().value.set(1).unwrap();
    let context = world.context(Policy { mask: R, flags: 0 });
    world.act_in(context.id());
    assert_eq!(other.attached().unwrap().active, context.id());
    assert_eq!(there.root().value.get(), 1);
    assert_eq!(child(|| poke(&there)), libc::SIGSEGV);
}
