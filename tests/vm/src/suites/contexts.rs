// SPDX-License-Identifier: MIT OR Apache-2.0
//! What contexts hold: rules G1 to G7 (G8 is in `sandbox.rs`), D1 to D6, C1 to C5, R1, R2 and S2, S3 of
//! SECURITY.md on the module, each test by its rule's number. What is taken out of page
//! tables is among the attacks, who is attached in `attach.rs`.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use twz_abi::{
    DATA_START, ObjectId, PAGE, Rights, ioctl as abi,
    ioctl::attach_flags::SWITCH,
    meta, reason,
    security::{
        ContextHeader, Gate, Grant, Key, MAX_ATTACHED, MAX_RECORDS, Mask, Policy, RECORD,
        RevokeClaim, context_flags,
    },
};
use twz_core::security::link::digest;
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::{
    errno::Errno,
    ktap::Test,
    probe,
    process::{self, Shared},
    security::{Owner, RecordBytes, context, put},
    suites::debugfs::{counted, text},
    sys::Session,
    tests,
    world::{OPEN, RW, World},
};

/// The suite.
pub const TESTS: &[Test] = tests![
    a_grant_that_holds_is_what_is_allowed,
    e1_masks_limit_the_defaults_and_not_what_was_granted,
    g1_a_grant_says_what_a_grant_can_say,
    g2_a_grant_is_for_its_accessor,
    g3_the_target_is_there,
    g4_the_key_is_what_its_id_covers,
    g5_the_owner_has_signed,
    g6_a_grant_has_its_time,
    g6_a_grant_ends_by_the_clock_for_who_is_attached,
    g7_an_epoch_ends_what_was_granted_before,
    d_a_delegation_holds,
    d1_to_d5_a_delegation_is_no_more_than_what_it_comes_from,
    d6_a_chain_has_eight_links_and_no_context_twice,
    c1_a_context_has_its_header,
    c2_a_context_has_its_size,
    c3_a_record_is_one_of_three,
    c4_nothing_is_said_twice,
    c5_bytes_that_change_are_of_this_load_or_the_next,
    a_load_that_is_refused_changes_nothing,
    loading_takes_a_right,
    r1_the_owner_has_signed_the_epoch,
    r2_an_epoch_only_grows,
    s2_what_was_verified_is_not_verified_again,
    s3_no_fault_verifies,
    a_context_that_is_deleted_goes_on_for_who_is_attached,
    many_contexts_come_and_go,
    who_ends_leaves_few_contexts,
];

const R: Rights = Rights::READ;
const RX: Rights = Rights(5);
const RWG: Rights = Rights(35);

/// A program in a context of its own, and an object that nobody has a right on.
struct Stage {
    session: Session,
    owner: Owner,
    web: ObjectId,
    secret: ObjectId,
    /// How many records the context has now.
    records: Cell<u64>,
}

fn stage() -> Stage {
    let session = Session::open();
    let owner = Owner::new(&session, 1);
    let web = context(&session, owner.id, Rights::ALL, 0);
    let secret = owner.object(&session, PAGE, Rights::NONE);
    assert_eq!(session.load(web), Ok((0, 0)));
    assert_eq!(session.attach(web, SWITCH), Ok(()));
    Stage { session, owner, web, secret, records: Cell::new(0) }
}

impl Stage {
    fn capability(&self, rights: Rights) -> Grant {
        self.owner.grant(self.secret, self.web, rights, Gate::NONE)
    }

    /// Has the context hold these records and no other.
    fn write(&self, records: &[&dyn RecordBytes]) {
        let zeros = vec![0; self.records.replace(records.len() as u64) as usize * RECORD];
        let at = PAGE + RECORD as u64;
        assert_eq!(self.session.write(self.web, at, &zeros), Ok(zeros.len() as u64));
        for (n, record) in records.iter().enumerate() {
            let done = self.session.write(self.web, at + (n * RECORD) as u64, record.record());
            assert_eq!(done, Ok(RECORD as u64));
        }
    }

    /// The rule by which the first void grant of the context is so.
    fn rule(&self) -> String {
        let (id, text) = (self.web.to_string(), text("contexts"));
        let line = text.lines().find(|line| line.starts_with(&id)).expect("it is loaded");
        line.rsplit(' ').next().expect("a rule").to_owned()
    }

    /// What a load of these comes to: grants that hold, those that do not, the rule.
    fn judged(&self, records: &[&dyn RecordBytes]) -> (u32, u32, String) {
        self.write(records);
        let (grants, void) = self.session.load(self.web).expect("LOAD");
        (grants, void, self.rule())
    }

    /// What is allowed on the secret.
    fn allowed(&self) -> Rights {
        Rights(self.session.resolve(self.secret, Rights::ALL).expect("RESOLVE").granted)
            .without(Rights::DELETE)
    }

    /// That this grant, alone beside one that holds, is void by this rule.
    fn void(&self, rule: &str, grant: &Grant) {
        assert_eq!(self.judged(&[grant]), (0, 1, rule.to_owned()), "{grant:?}");
        assert_eq!(self.allowed(), Rights::NONE, "{grant:?}");
    }

    fn refused(&self, what: &str) {
        assert_eq!(self.session.load(self.web), Err(Errno::EINVAL), "{what}");
        let last = self.session.last_error();
        assert_eq!((last.reason, last.id), (reason::BAD_CONTEXT, self.web), "{what}");
    }
}

fn a_grant_that_holds_is_what_is_allowed() {
    let s = stage();
    assert_eq!(s.allowed(), Rights::NONE);
    for rights in [R, RW, RX, Rights(7)] {
        assert_eq!(s.judged(&[&s.capability(rights)]), (1, 0, "-".into()));
        assert_eq!(s.allowed(), rights);
    }
    // Nothing changes but by a load.
    s.write(&[]);
    assert_eq!(s.allowed(), Rights(7));
    assert_eq!(s.session.load(s.web), Ok((0, 0)));
    assert_eq!(s.allowed(), Rights::NONE);
    // And it is the context's alone.
    assert_eq!(s.judged(&[&s.capability(RW)]).0, 1);
    assert_eq!(s.session.switch(ObjectId::NULL), Ok(()));
    assert_eq!(s.allowed(), Rights::NONE);
}

fn e1_masks_limit_the_defaults_and_not_what_was_granted() {
    let s = stage();
    let open = s.owner.object(&s.session, PAGE, OPEN);
    let allowed = || Rights(s.session.resolve(open, Rights(7)).expect("RESOLVE").granted);
    let grant = s.owner.grant(open, s.web, RX, Gate::NONE);
    let mask = Mask::new(open, R | Rights::DELETE);
    // What a mask leaves out is gone, so that they all leave the right to delete.
    let mask_none = Mask::new(open, Rights::DELETE);
    for (records, rights) in [
        (&[][..], Rights(7)),
        (&[&mask as &dyn RecordBytes], R),
        (&[&mask, &grant], RX),
        (&[&mask_none, &grant], RX),
    ] {
        s.write(records);
        assert!(s.session.load(s.web).is_ok());
        assert_eq!(allowed(), rights);
    }
}

fn g1_a_grant_says_what_a_grant_can_say() {
    let s = stage();
    let good = s.capability(RX);
    let gate = Gate { offset: DATA_START, length: 64, align: 16 };
    for bad in [
        Grant { version: 2, ..good },
        Grant { rights: 0, ..good },
        Grant { rights: 64, ..good },
        Grant { target: ObjectId::NULL, ..good },
        Grant { accessor: ObjectId { lo: 1, hi: 0 }, ..good },
        Grant { parent: [1; 32], ..good },
        Grant { rights: RW.0, gate, ..good },
        Grant { gate: Gate { align: 3, ..gate }, ..good },
        Grant { gate: Gate { offset: 8, ..gate }, ..good },
        Grant { gate: Gate { length: u64::MAX, ..gate }, ..good },
        Grant { not_before: 5, expires: 5, ..good },
        Grant { reserved: [1; 48], ..good },
    ] {
        s.void("G1", &s.owner.sign(bad));
    }
    assert_eq!(s.judged(&[&good]), (1, 0, "-".into()));
}

fn g2_a_grant_is_for_its_accessor() {
    let s = stage();
    let other = context(&s.session, s.owner.id, Rights::ALL, 0);
    s.void("G2", &s.owner.grant(s.secret, other, R, Gate::NONE));
}

fn g3_the_target_is_there() {
    let s = stage();
    let gone = s.owner.object(&s.session, PAGE, Rights::NONE);
    let grant = s.owner.grant(gone, s.web, R, Gate::NONE);
    assert_eq!(s.judged(&[&grant]), (1, 0, "-".into()));
    assert_eq!(s.session.delete(gone), Ok(()));
    s.void("G3", &grant);
}

fn g4_the_key_is_what_its_id_covers() {
    let s = stage();
    // A key that is not immutable, one of another size, and one that is gone.
    let signer = Owner::new(&s.session, 2);
    let mut bytes = [0; 64];
    assert_eq!(s.session.read(signer.id, PAGE, &mut bytes), Ok(64));
    assert!(Key::read_from_bytes(&bytes).is_ok());
    for size in [64, 65] {
        let loose = s.session.create(size, OPEN);
        assert_eq!(s.session.write(loose, PAGE, &bytes), Ok(64));
        let create =
            abi::Create { size: PAGE, owner: loose, default_rights: 16, ..Default::default() };
        let target = s.session.create_as(create).expect("CREATE");
        s.void("G4", &signer.grant(target, s.web, R, Gate::NONE));
        // Sealed, it is a key, if it is of a key's size.
        let sealed =
            abi::Create { flags: meta::flags::IMMUTABLE, default_rights: 17, ..Default::default() };
        let sealed = s.session.copy_as(loose, sealed).expect("COPY");
        let create = abi::Create { owner: sealed, ..create };
        let target = s.session.create_as(create).expect("CREATE");
        let grant = signer.grant(target, s.web, R, Gate::NONE);
        match size {
            64 => assert_eq!(s.judged(&[&grant]), (1, 0, "-".into())),
            _ => s.void("G4", &grant),
        }
    }
    let target = signer.object(&s.session, PAGE, Rights::NONE);
    let grant = signer.grant(target, s.web, R, Gate::NONE);
    assert_eq!(s.judged(&[&grant]), (1, 0, "-".into()));
    assert_eq!(s.session.delete(signer.id), Ok(()));
    s.void("G4", &grant);
}

fn g5_the_owner_has_signed() {
    let s = stage();
    let thief = Owner::new(&s.session, 2);
    let good = s.capability(R);
    s.void("G5", &thief.sign(good));
    s.void("G5", &Grant { signature: [0; 64], ..good });
    for bit in [12 * 8, 16 * 8, 88 * 8 + 1, 104 * 8, 192 * 8, 255 * 8 + 4] {
        let mut bytes: [u8; RECORD] = good.as_bytes().try_into().expect("a record");
        bytes[bit / 8] ^= 1 << (bit % 8);
        let grant = Grant::read_from_bytes(&bytes).expect("a grant's bytes");
        let (grants, void, _) = s.judged(&[&grant]);
        assert_eq!((grants, void, s.allowed()), (0, 1, Rights::NONE), "bit {bit}");
    }
    // Nobody signs for an owner that is null.
    let orphan = s.session.create(PAGE, Rights::DELETE);
    s.void("G5", &s.owner.grant(orphan, s.web, R, Gate::NONE));
    // The neutral element as a key: one signature would be good for every message.
    let mut public = [0; 32];
    public[0] = 1;
    let source = s.session.create(64, OPEN);
    assert_eq!(s.session.write(source, PAGE, Key::new(public).as_bytes()), Ok(64));
    let create =
        abi::Create { flags: meta::flags::IMMUTABLE, default_rights: 17, ..Default::default() };
    let weak = s.session.copy_as(source, create).expect("COPY");
    let create = abi::Create { size: PAGE, owner: weak, default_rights: 16, ..Default::default() };
    let target = s.session.create_as(create).expect("CREATE");
    let mut signature = [0; 64];
    signature[0] = 1;
    let grant = s.owner.grant(target, s.web, R, Gate::NONE);
    s.void("G5", &Grant { signature, ..grant });
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("a time after 1970");
    since.as_nanos() as u64
}

const SECOND: u64 = 1_000_000_000;

fn g6_a_grant_has_its_time() {
    let s = stage();
    let good = s.capability(R);
    s.void("G6", &s.owner.sign(Grant { expires: now(), ..good }));
    s.void("G6", &s.owner.sign(Grant { not_before: now() + 3600 * SECOND, ..good }));
    let times = Grant { not_before: 1, expires: now() + 3600 * SECOND, ..good };
    assert_eq!(s.judged(&[&s.owner.sign(times)]), (1, 0, "-".into()));
}

fn g6_a_grant_ends_by_the_clock_for_who_is_attached() {
    let s = stage();
    let begins = now() + 3 * SECOND;
    let times = Grant { not_before: begins, expires: begins + 3 * SECOND, ..s.capability(R) };
    let (grants, _, _) = s.judged(&[&s.owner.sign(times)]);
    // A machine may have been stopped for as long as it takes.
    assert!(grants == 0 || now() >= begins);
    let mut seen = vec![s.allowed()];
    while now() < times.expires + 3 * SECOND {
        let allowed = s.allowed();
        if seen.last() != Some(&allowed) {
            seen.push(allowed);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(seen.last(), Some(&Rights::NONE), "it has ended: {seen:?}");
    assert!(seen.contains(&R), "and began: {seen:?}");
}

fn g7_an_epoch_ends_what_was_granted_before() {
    let s = stage();
    let old = s.capability(R);
    let new = s.owner.sign(Grant { epoch: 3, ..s.capability(RW) });
    assert_eq!(s.judged(&[&old, &new]), (2, 0, "-".into()));
    assert_eq!(s.allowed(), RW);
    assert_eq!(s.session.revoke(&s.owner, s.secret, 1), Ok(()));
    assert_eq!((s.allowed(), s.rule()), (RW, "G7".into()));
    assert_eq!(s.session.revoke(&s.owner, s.secret, 3), Ok(()));
    assert_eq!(s.allowed(), RW, "of its epoch");
    assert_eq!(s.session.revoke(&s.owner, s.secret, 4), Ok(()));
    assert_eq!((s.allowed(), s.rule()), (Rights::NONE, "G7".into()), "with no load");
    assert_eq!(s.session.load(s.web), Ok((0, 2)));
    assert_eq!(s.session.stat(s.secret).expect("STAT").epoch, 4);
}

/// A grant that says the same as this one, signed by `by`, and comes before all of `others`
/// in a context, whose flaws are told in that order. (Of a grant that is of a later epoch
/// than the one it hangs on, nothing else is different.)
fn first(by: &Owner, grant: Grant, others: &[Grant]) -> Grant {
    let mut grant = by.sign(grant);
    while others.iter().any(|other| digest(other) < digest(&grant)) {
        grant.epoch += 1;
        grant = by.sign(grant);
    }
    grant
}

/// The same passed on by who has it.
fn delegation(by: &Owner, parent: &Grant, accessor: ObjectId, rights: Rights) -> Grant {
    by.sign(Grant {
        rights: rights.0,
        accessor,
        grantor: parent.accessor,
        parent: digest(parent),
        epoch: 0,
        ..*parent
    })
}

fn d_a_delegation_holds() {
    let s = stage();
    let clerk = Owner::new(&s.session, 2);
    let log = context(&s.session, clerk.id, Rights::ALL, 0);
    let first = s.owner.grant(s.secret, log, RWG, Gate::NONE);
    let second = delegation(&clerk, &first, s.web, RW);
    // What it comes from is for another context, and beside it here.
    assert_eq!(s.judged(&[&first, &second]), (1, 1, "G2".into()));
    assert_eq!(s.allowed(), RW);
    // All that the context has passed on ends with its epoch.
    assert_eq!(s.session.revoke(&clerk, log, 1), Ok(()));
    assert_eq!(s.allowed(), Rights::NONE);
}

fn d1_to_d5_a_delegation_is_no_more_than_what_it_comes_from() {
    let s = stage();
    let clerk = Owner::new(&s.session, 2);
    let log = context(&s.session, clerk.id, Rights::ALL, 0);
    let gate = Gate { offset: DATA_START, length: 64, align: 16 };
    let later = now() + 3600 * SECOND;
    let parent =
        Grant { rights: 1 | 4 | 32, gate, not_before: 5, expires: later, ..s.capability(R) };
    let parent = s.owner.sign(Grant { accessor: log, ..parent });
    let good = delegation(&clerk, &parent, s.web, RX);
    let other = s.owner.object(&s.session, PAGE, Rights::NONE);
    let mute = s.owner.sign(Grant { rights: RX.0, ..parent });
    // What it comes from is another's, and void by G2 here.
    assert_eq!(s.judged(&[&parent, &good]), (1, 1, "G2".into()));
    for (rule, parent, grant) in [
        ("D1", &parent, Grant { parent: [7; 32], ..good }),
        ("D1", &parent, Grant { grantor: s.web, ..good }),
        ("D2", &mute, Grant { parent: digest(&mute), ..good }),
        ("D3", &parent, Grant { rights: RW.0, gate: Gate::NONE, ..good }),
        ("D3", &parent, Grant { target: other, ..good }),
        ("D4", &parent, Grant { gate: Gate::NONE, ..good }),
        ("D4", &parent, Grant { gate: Gate { align: 8, ..gate }, ..good }),
        ("D4", &parent, Grant { gate: Gate { length: 65, ..gate }, ..good }),
        ("D5", &parent, Grant { not_before: 4, ..good }),
        ("D5", &parent, Grant { expires: later + 1, ..good }),
        ("D5", &parent, Grant { expires: 0, ..good }),
    ] {
        let grant = first(&clerk, grant, &[*parent]);
        assert_eq!(s.judged(&[parent, &grant]), (0, 2, rule.into()), "{grant:?}");
        assert_eq!(s.allowed(), Rights::NONE, "{rule}: {grant:?}");
    }
}

fn d6_a_chain_has_eight_links_and_no_context_twice() {
    let s = stage();
    let contexts: Vec<ObjectId> =
        (0..8).map(|_| context(&s.session, s.owner.id, Rights::ALL, 0)).collect();
    // A chain over these, which ends here.
    let chain = |over: &[ObjectId]| {
        let mut chain = vec![s.owner.grant(s.secret, over[0], RWG, Gate::NONE)];
        for next in over.iter().skip(1) {
            let last = chain[chain.len() - 1];
            chain.push(delegation(&s.owner, &last, *next, RWG));
        }
        let last = delegation(&s.owner, &chain[chain.len() - 1], s.web, RWG);
        chain.push(first(&s.owner, last, &chain));
        let records: Vec<&dyn RecordBytes> = chain.iter().map(|g| g as &dyn RecordBytes).collect();
        let (grants, _, rule) = s.judged(&records);
        (grants, rule)
    };
    let told = |grants: u32, rule: &str| (grants, rule.to_owned());
    // What leads there is others', and void by G2 here.
    assert_eq!(chain(&contexts[..7]), told(1, "G2"), "eight links");
    assert_eq!(chain(&contexts), told(0, "D6"), "nine");
    let twice = [contexts[0], contexts[1], contexts[0]];
    assert_eq!(chain(&twice), told(0, "D6"), "a context twice");
    // It is in it twice itself: the first of the two holds.
    assert_eq!(chain(&[s.web, contexts[0]]), told(1, "D6"));
    assert_eq!(chain(&[contexts[0], contexts[1]]), told(1, "G2"));
}

fn c1_a_context_has_its_header() {
    let s = stage();
    let good = ContextHeader::new(s.web, Policy { mask: Rights::ALL, flags: 0 });
    let other = s.session.object(PAGE);
    let policy = |flags| Policy { mask: Rights::ALL, flags };
    for (what, header) in [
        ("magic", ContextHeader { magic: 1, ..good }),
        ("version", ContextHeader { version: 2, ..good }),
        ("reserved", ContextHeader { reserved0: 1, ..good }),
        ("reserved", ContextHeader { reserved1: [1; 216], ..good }),
        ("another's id", ContextHeader { id: other, ..good }),
        ("no check", ContextHeader { policy: good.policy ^ 1 << 40, ..good }),
        ("unknown flags", ContextHeader::new(s.web, policy(context_flags::KNOWN + 1))),
        ("rights", ContextHeader::new(s.web, Policy { mask: Rights(64), flags: 0 })),
    ] {
        assert_eq!(s.session.write(s.web, PAGE, header.as_bytes()), Ok(256));
        s.refused(what);
    }
    assert_eq!(s.session.write(s.web, PAGE, good.as_bytes()), Ok(256));
    assert_eq!(s.session.load(s.web), Ok((0, 0)));
    // What is of another kind is none, whatever its bytes are.
    let plain = s.session.object(10 * RECORD as u64);
    let header = ContextHeader::new(plain, Policy { mask: Rights::ALL, flags: 0 });
    assert_eq!(s.session.write(plain, PAGE, header.as_bytes()), Ok(256));
    assert_eq!(s.session.load(plain), Err(Errno::EINVAL));
    assert_eq!(s.session.last_error().reason, reason::BAD_CONTEXT);
    assert_eq!(s.session.load(ObjectId::NULL), Err(Errno::EINVAL));
    assert_eq!(s.session.delete(plain), Ok(()));
    assert_eq!(s.session.load(plain), Err(Errno::ENOENT));
}

fn c2_a_context_has_its_size() {
    let s = stage();
    let most = (MAX_RECORDS + 1) * RECORD as u64;
    for size in [RECORD as u64 + 1, RECORD as u64 * 2 - 1, 1, 0, most + RECORD as u64] {
        assert_eq!(s.session.resize(s.web, size), Ok(()));
        s.refused(&format!("{size} bytes"));
    }
    assert_eq!(s.session.resize(s.web, 2 * RECORD as u64), Ok(()));
    let header = ContextHeader::new(s.web, Policy { mask: Rights::ALL, flags: 0 });
    assert_eq!(s.session.write(s.web, PAGE, header.as_bytes()), Ok(256));
    for size in [RECORD as u64, most] {
        assert_eq!(s.session.resize(s.web, size), Ok(()));
        assert_eq!(s.session.load(s.web), Ok((0, 0)), "{size} bytes");
    }
}

fn c3_a_record_is_one_of_three() {
    let s = stage();
    let mask = Mask::new(s.secret, R | Rights::DELETE);
    put(&s.session, s.web, 3, &mask);
    assert_eq!(s.session.load(s.web), Ok((0, 0)));
    put(&s.session, s.web, 2, &Mask { magic: mask.magic + 1, ..mask });
    s.refused("no magic");
    put(&s.session, s.web, 2, &Mask { magic: 0, ..mask });
    assert_eq!(s.session.load(s.web), Ok((0, 0)), "an empty one is not looked at");
    for bad in [
        Mask { version: 2, ..mask },
        Mask { rights: 64, ..mask },
        Mask { target: ObjectId::NULL, ..mask },
        Mask { reserved: [1; 224], ..mask },
    ] {
        put(&s.session, s.web, 2, &bad);
        s.refused("a mask");
    }
}

fn c4_nothing_is_said_twice() {
    let s = stage();
    let grant = s.capability(R);
    s.write(&[&grant, &s.capability(RW), &grant]);
    s.refused("a grant twice");
    s.write(&[&Mask::new(s.secret, R), &Mask::new(s.secret, RW)]);
    s.refused("two masks");
    s.write(&[&grant, &s.capability(RW)]);
    assert_eq!(s.session.load(s.web), Ok((2, 0)));
}

fn c5_bytes_that_change_are_of_this_load_or_the_next() {
    let world = World::new();
    let s = stage();
    let (one, other) = (s.capability(R), s.capability(RW));
    s.write(&[&one]);
    world.show(2, s.web, RW);
    let at = world.at(2, RECORD as u64);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    let (mut seen, mut loads) = ([0; 8], 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(relaxed) {
                for grant in [&one, &other] {
                    for (n, word) in grant.as_bytes().chunks_exact(8).enumerate() {
                        let word = u64::from_le_bytes(word.try_into().expect("8 bytes"));
                        probe::atomic(at + n * 8).store(word, relaxed);
                    }
                }
            }
        });
        while loads < 300 {
            assert!(s.session.load(s.web).is_ok());
            seen[s.allowed().0 as usize & 7] += 1;
            loads += 1;
        }
        stop.store(true, relaxed);
    });
    // Never a right that no owner has signed, whatever was seen half.
    assert_eq!(seen.iter().sum::<i32>(), seen[0] + seen[1] + seen[3], "{seen:?}");
}

fn a_load_that_is_refused_changes_nothing() {
    let s = stage();
    assert_eq!(s.judged(&[&s.capability(R)]), (1, 0, "-".into()));
    put(&s.session, s.web, 7, &Mask { magic: 5, ..Mask::new(s.secret, R) });
    s.refused("a record that is none");
    assert_eq!(s.allowed(), R);
    assert_eq!(s.session.resize(s.web, 100), Ok(()));
    s.refused("no size");
    assert_eq!(s.allowed(), R);
}

fn loading_takes_a_right() {
    let s = stage();
    let id = context(&s.session, s.owner.id, Rights::ALL, 0);
    for (left, loads) in
        [(Rights::USE, Ok((0, 0))), (Rights::WRITE, Ok((0, 0))), (Rights::READ, Err(Errno::EACCES))]
    {
        s.write(&[&Mask::new(id, left | Rights::DELETE)]);
        assert_eq!(s.session.load(s.web), Ok((0, 0)));
        assert_eq!(s.session.load(id), loads, "{left:?}");
    }
    let last = s.session.last_error();
    assert_eq!((last.reason, last.id), (reason::CONTEXT_DENIES, id));
    // Who is attached to it, without a right on it, has it read again.
    s.write(&[&Mask::new(s.web, R | Rights::DELETE)]);
    assert_eq!(s.session.load(s.web), Ok((0, 0)));
    assert_eq!(s.session.load(s.web), Ok((0, 0)), "now that the mask counts");
}

fn r1_the_owner_has_signed_the_epoch() {
    let s = stage();
    let thief = Owner::new(&s.session, 2);
    assert_eq!(s.judged(&[&s.capability(R)]).0, 1);
    let orphan = s.session.create(PAGE, Rights::DELETE);
    let claim = RevokeClaim { object: s.secret, epoch: 1, reserved: 0 };
    let signed = s.owner.revocation(&claim);
    for (object, epoch, signature) in [
        (s.secret, 1, thief.revocation(&claim)),
        (s.secret, 2, signed),
        (s.web, 1, signed),
        (orphan, 1, s.owner.revocation(&RevokeClaim { object: orphan, ..claim })),
        (s.secret, 1, [0; 64]),
    ] {
        let mut revoke = abi::Revoke { object, epoch, reserved: 0, signature };
        assert_eq!(s.session.call(abi::REVOKE, &mut revoke), Err(Errno::EACCES));
        let last = s.session.last_error();
        assert_eq!((last.reason, last.id), (reason::BAD_STATEMENT, object));
        assert_eq!(s.session.stat(object).expect("STAT").epoch, 0);
    }
    assert_eq!(s.allowed(), R);
    assert_eq!(s.session.delete(orphan), Ok(()));
    assert_eq!(s.session.revoke(&s.owner, orphan, 1), Err(Errno::ENOENT));
    let mut revoke = abi::Revoke { object: s.secret, epoch: 1, reserved: 1, signature: signed };
    assert_eq!(s.session.call(abi::REVOKE, &mut revoke), Err(Errno::EINVAL));
    revoke.reserved = 0;
    assert_eq!(s.session.call(abi::REVOKE, &mut revoke), Ok(()), "anybody may bring it");
    assert_eq!(s.allowed(), Rights::NONE);
}

fn r2_an_epoch_only_grows() {
    let s = stage();
    assert_eq!(s.session.revoke(&s.owner, s.secret, 7), Ok(()));
    for epoch in [0, 1, 6, 7] {
        assert_eq!(s.session.revoke(&s.owner, s.secret, epoch), Err(Errno::EINVAL));
        assert_eq!(s.session.last_error().reason, reason::BAD_STATEMENT, "{epoch}");
        assert_eq!(s.session.stat(s.secret).expect("STAT").epoch, 7);
    }
    // Up to the highest there is.
    let most = meta::MAX_EPOCH;
    assert_eq!(s.session.revoke(&s.owner, s.secret, most + 1), Err(Errno::EINVAL));
    assert_eq!(s.session.last_error().reason, reason::BAD_STATEMENT);
    assert_eq!(s.session.revoke(&s.owner, s.secret, most), Ok(()));
    // A key has an epoch as well, though it is immutable.
    let signed = s.owner.object(&s.session, 64, OPEN);
    assert_eq!(s.session.revoke(&s.owner, signed, 1), Ok(()));
}

fn s2_what_was_verified_is_not_verified_again() {
    let s = stage();
    let many: Vec<Grant> = (1..=20)
        .map(|n| s.owner.sign(Grant { expires: u64::MAX - n, ..s.capability(R) }))
        .collect();
    let records: Vec<&dyn RecordBytes> = many.iter().map(|g| g as &dyn RecordBytes).collect();
    let verified = |count: usize| {
        s.write(&records[..count]);
        let moved = counted(|| assert_eq!(s.session.load(s.web), Ok((count as u32, 0))));
        let of = |name: &str| moved.get(name).copied().unwrap_or(0);
        (of("signatures_verified"), of("signatures_known"))
    };
    assert_eq!(verified(12), (12, 0));
    assert_eq!(verified(12), (0, 12));
    assert_eq!(verified(20), (8, 12));
    assert_eq!(verified(3), (0, 3));
    assert_eq!(verified(20), (17, 3), "what was not there before is new");
    // What is void is not remembered.
    let thief = Owner::new(&s.session, 2);
    s.write(&[&thief.sign(many[0])]);
    for _ in 0..2 {
        let moved = counted(|| assert_eq!(s.session.load(s.web), Ok((0, 1))));
        assert_eq!(moved.get("signatures_verified"), Some(&1));
    }
}

fn s3_no_fault_verifies() {
    let s = stage();
    let world = World::new();
    let target = s.owner.object(&s.session, 64 * PAGE, Rights::NONE);
    let grant = s.owner.grant(target, s.web, RW, Gate::NONE);
    assert_eq!(s.judged(&[&grant]).0, 1);
    world.show(2, target, RW);
    let moved = counted(|| {
        (0..64).for_each(|page| assert_eq!(probe::store(world.at(2, page * PAGE), 1), Ok(())));
    });
    assert!(moved.contains_key("faults"), "{moved:?}");
    assert_eq!(moved.get("signatures_verified"), None, "{moved:?}");
}

fn a_context_that_is_deleted_goes_on_for_who_is_attached() {
    let s = stage();
    assert_eq!(s.judged(&[&s.capability(R)]).0, 1);
    assert_eq!(s.session.delete(s.web), Ok(()));
    assert_eq!(s.allowed(), R);
    assert_eq!(s.session.load(s.web), Err(Errno::ENOENT));
    assert_eq!(s.allowed(), R);
    // But nobody comes to it any more.
    process::fork(|| {
        let session = Session::open();
        assert_eq!(session.switch(ObjectId::NULL), Ok(()));
        assert_eq!(session.detach(s.web), Ok(()));
        assert_eq!(session.attach(s.web, 0), Err(Errno::ENOENT));
        0
    })
    .succeed();
    assert_eq!(s.session.revoke(&s.owner, s.secret, 1), Ok(()));
    assert_eq!(s.allowed(), Rights::NONE);
}

fn many_contexts_come_and_go() {
    let s = stage();
    // What programs before held is nobody's when they are swept, half a second after their end.
    soon("their holds go", || kept(|holders| holders != "0") <= 1);
    for _ in 0..200 {
        let id = context(&s.session, s.owner.id, Rights::ALL, 0);
        let grant = s.owner.grant(s.secret, id, R, Gate::NONE);
        put(&s.session, id, 0, &grant);
        assert_eq!(s.session.load(id), Ok((1, 0)));
        assert_eq!(s.session.delete(id), Ok(()));
        let idle = kept(|holders| holders == "0");
        assert!(idle <= 65, "{idle} are kept, though nobody holds them");
    }
    assert_eq!(s.judged(&[&s.capability(R)]).0, 1, "one that is held stays");
}

fn who_ends_leaves_few_contexts() {
    const EACH: usize = MAX_ATTACHED / 2;
    let s = stage();
    let ready = Shared::new();
    // Together they hold more than are kept of those that nobody holds.
    let hold = |_| {
        process::fork(|| {
            let session = Session::open();
            for _ in 0..EACH {
                let id = context(&session, s.owner.id, Rights::ALL, 0);
                assert_eq!(session.attach(id, 0), Ok(()));
                assert_eq!(session.delete(id), Ok(()));
            }
            ready.add(0, 1);
            loop {
                std::thread::sleep(Duration::from_secs(600));
            }
        })
    };
    let holders: Vec<_> = (0..12).map(hold).collect();
    ready.await_at_least(0, 12);
    assert!(kept(|holders| holders != "0") >= 12 * EACH);
    holders.iter().for_each(process::Child::kill);
    // Nobody loads any more.
    soon("their holds go", || kept(|holders| holders != "0") < EACH);
    soon("few are kept", || kept(|holders| holders == "0") <= 64);
}

/// How many contexts are loaded whose number of holders is such.
fn kept(such: impl Fn(&str) -> bool) -> usize {
    let text = text("contexts");
    let holders = text.lines().filter_map(|line| line.split(' ').nth(2));
    holders.filter(|holders| such(holders)).count()
}

/// Waits for what is so half a second after the last change.
fn soon(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < end, "{what}: not in ten seconds");
        std::thread::sleep(Duration::from_millis(100));
    }
}
